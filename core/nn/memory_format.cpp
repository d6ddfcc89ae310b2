#include "core/nn/memory_format.h"

#include <ATen/ATen.h>

namespace baleen {

void to_channels_last(torch::nn::Module& network) {
  at::NoGradGuard no_grad;
  const auto convert = [](at::Tensor& tensor) {
    if (tensor.dim() != 4) return;
    // contiguous(ChannelsLast) returns a 1x1 kernel as it is, since both layouts fit it, with
    // strides that convolutions read as NCHW; a fresh tensor gets the strides of channels_last.
    tensor.set_data(
        at::empty(tensor.sizes(), tensor.options(), at::MemoryFormat::ChannelsLast).copy_(tensor));
  };
  for (at::Tensor& parameter : network.parameters()) convert(parameter);
  for (at::Tensor& buffer : network.buffers()) convert(buffer);
}

}  // namespace baleen
