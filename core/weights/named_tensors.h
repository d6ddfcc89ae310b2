#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

namespace baleen {

/// Tensors under names, in an order that is kept.
using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

}  // namespace baleen
