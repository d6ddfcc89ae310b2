#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/modules/batchnorm.h>

#include <memory>
#include <vector>

#include "core/nn/channel_kernels.h"

namespace baleen {

/// The maps of a dense block, all of which each later layer reads, normalised by weights of its
/// own.
///
/// Where the kernels serve (channels_last on the CPU) the maps lie side by side in one buffer from
/// the start and nothing is ever concatenated; the moments of a channel, the same for every layer,
/// are taken once; norm and ReLU are one pass. Elsewhere it is LibTorch's concatenation, norm and
/// ReLU. Values agree up to rounding.
class DenseMaps {
 public:
  /// @param first_NCHW the block's input, [N, C, H, W]
  /// @param total_channels of all maps that the block will have
  /// @param training the block's norms will take the batch's moments
  DenseMaps(const at::Tensor& first_NCHW, int64_t total_channels, bool training);

  void append(const at::Tensor& map_NCHW);
  /// The concatenated maps, [N, C_1 + … + C_n, H, W].
  at::Tensor concatenated() const;
  /// relu(norm(concatenated())); moves the norm's running statistics in training mode.
  at::Tensor norm_relu(torch::nn::BatchNorm2dImpl& norm) const;

  /// The maps as autograd sees them, for a checkpoint, which hands them out anew…
  const std::vector<at::Tensor>& maps() const { return maps_; }
  /// …to a collection that shares the buffer and knows no others.
  DenseMaps with(std::vector<at::Tensor> maps) const;

 private:
  struct Buffer {
    at::Tensor values_NCHW;  ///< undefined: the kernels don't serve
    ChannelMoments moments;
    bool has_moments = false;
  };
  bool buffered() const { return buffer_->values_NCHW.defined(); }
  int64_t num_channels() const;

  std::shared_ptr<Buffer> buffer_;
  std::vector<at::Tensor> maps_;
};

}  // namespace baleen
