#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

#include "data/augment/augment.h"
#include "data/augment/mixup.h"
#include "data/augment/normalise.h"

namespace baleen {

/// write_image() for a whole batch, in tensor operations, on whatever device the batch is: from the
/// cropped and resized bytes and the same draws to the network's input.
///
/// The result is that of write_image() up to rounding: pixels differ by at most one level of 255
/// before the colour changes, where an interpolated value lies between two levels. Noise has the
/// same values; mixup is that of mix_images(). Extensions' augmentations are not done here. Used
/// from one thread.
class DeviceAugment {
 public:
  struct Options {
    Normalisation normalise;  ///< one entry per channel of the network
    int64_t channels = 3;     ///< of the network; a grey image is repeated
    bool channels_last = false;
  };
  explicit DeviceAugment(Options options);

  /// @param images_NSSC uint8, cut and resized by write_image(); the draws' crops are not looked at
  /// @param draws one per image
  /// @returns float32 [N, channels, S, S], contiguous in the memory format asked for
  at::Tensor operator()(const at::Tensor& images_NSSC, std::span<const AugmentDraw> draws,
                        const MixupDraw& mixup);

 private:
  at::Tensor displacements(std::span<const AugmentDraw> draws, const at::Tensor& seeds_N,
                           const at::Tensor& factors_N, int64_t size_px);
  at::Tensor warped(const at::Tensor& images_NCSS, std::span<const AugmentDraw> draws);
  at::Tensor coloured(const at::Tensor& images_NCSS, std::span<const AugmentDraw> draws);
  at::Tensor normalised(const at::Tensor& levels_NCSS);

  Options options_;
  // Made at the first use on a device and kept.
  at::Tensor field_matrix_SG_;  ///< smooths one axis of a field and enlarges it to the image
  double field_sigma_ = 0;
  at::Tensor quantiles_;
};

}  // namespace baleen
