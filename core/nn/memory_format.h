#pragma once

#include <torch/nn/module.h>

namespace baleen {

/// Lays out all four-dimensional parameters and buffers as channels_last (NHWC in memory), the
/// layout in which convolutions run fastest on CPUs with oneDNN and on tensor cores. Call before an
/// optimizer or reducer sees the parameters: gradients and optimizer state follow their layout.
/// Values do not change.
void to_channels_last(torch::nn::Module& network);

}  // namespace baleen
