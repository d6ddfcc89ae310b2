#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

namespace baleen {

/// How three colour channels of a stem become one.
enum class GreyStem {
  kLuma,  ///< 0.299 R + 0.587 G + 0.114 B of the weights (ITU-R BT.601): the network sees grey y as
          ///< the colour image (0.299 y, 0.587 y, 0.114 y)
  kSum,   ///< R + G + B of the weights: grey y gives what the colour image (y, y, y) gave, exactly
};

/// @throws Error kConfiguration for another name than "luma" and "sum".
GreyStem grey_stem_from_name(const std::string& name);

/// What a network's first convolution is given.
struct StemInput {
  int64_t image_channels = 3;       ///< 1, 3 or 4
  int64_t coordinate_channels = 0;  ///< CoordConv's, behind the image's
};

struct AdaptedStem {
  at::Tensor weight_OIHW;
  std::string note;  ///< what was done, for the log; empty: the weights fit as they are
};

/// The weights [O, I, H, W] of a published first convolution for another number of input channels:
/// one channel is made of three as `grey` says, channels that the file has no weights for
/// (infra-red, coordinates; Liu et al. 2018, arXiv:1807.03247) begin at zero, so that the network
/// is the published function of the others.
/// @param file_has_coordinates the last channels of the file's weights are coordinates already
/// @returns weights that don't fit, unchanged, where no rule leads from the one to the other
AdaptedStem adapt_stem(const at::Tensor& weight_OIHW, const StemInput& input, GreyStem grey,
                       bool file_has_coordinates = false);

}  // namespace baleen
