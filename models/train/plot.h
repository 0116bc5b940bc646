// The loss curve of a run as a picture: loss.svg, redrawn from metrics.jsonl whenever a checkpoint is written.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "nn/io/json.h"

namespace fovea::train {

struct Curve {
  std::vector<double> x, y;  // of one length; x rises, points that are not finite are left out
};

struct LossPlot {
  std::string title, x_label = "step", y_label = "loss (nats per token)";
  Curve training, validation;
  std::optional<double> floor;  // a dashed line: the least loss that the data allows
  std::string floor_label;
  bool log_x = false;  // points at x < 1 are then left out
};

// The training loss faint with a smoothed line over it, validation as dots, the floor dashed; one self-contained SVG.
std::string to_svg(const LossPlot& plot);

// Curves from records: `loss` and `val_loss` over `step`.
LossPlot loss_plot(const std::vector<io::Json>& metrics);

// Writes to a temporary name beside it and renames: a reader never sees half a picture. FileError.
void save_svg(const LossPlot& plot, const std::string& path);

}  // namespace fovea::train
