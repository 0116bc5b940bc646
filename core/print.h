// Arrays as text, laid out as NumPy prints them, with dtype and shape behind: `[[1.  2.5] [3.  4. ]] f32[2,2]`.
#pragma once
#include <string>

#include "core/array.h"

namespace fovea {

// Floating numbers have as many digits as tell them from their neighbours in their dtype, at most `precision` of them
// behind the point, or exponents where their sizes differ much. Arrays of more than `threshold` elements show
// `edge_items` at both ends of an axis and dots between. Of duals the real part is shown. Waits for the device.
std::string format_array(const Array& a, int precision = 8, int64_t edge_items = 3, int64_t threshold = 1000);

}  // namespace fovea
