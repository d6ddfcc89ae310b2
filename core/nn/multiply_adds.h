#pragma once

#include <cstdint>

#include "core/nn/backbone.h"

namespace baleen {

/// Multiplications with addition that convolutions and linear layers need for one image, the figure
/// published as a network's GMAC (often called GFLOPs): what is left out, normalisation,
/// activations and pools, is small beside it.
///
/// Counted in a real pass in evaluation mode over a batch of no images at all: every operation
/// takes place with its true shapes, and none computes anything. The network's mode is back when
/// this returns or throws.
int64_t multiply_adds(Backbone& network, int64_t in_channels, int64_t size_px);

}  // namespace baleen
