// How far apart two words are: for errors that name the nearest known one.
#pragma once
#include <cstddef>
#include <span>
#include <string_view>

namespace fovea::text {

// Edits (insert, delete, replace, swap neighbours) from one word to another.
size_t edit_distance(std::string_view a, std::string_view b);

// The word that is meant, most likely: the nearest one, or "" when none is near (more than a third of it would have to
// change).
std::string_view nearest(std::string_view word, std::span<const std::string_view> known);

}  // namespace fovea::text
