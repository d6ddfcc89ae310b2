#include "core/nn/layers.h"

namespace baleen {

torch::nn::Conv2d bias_free_conv(int64_t in_channels, int64_t out_channels, int64_t kernel,
                                 int64_t stride, int64_t groups) {
  return torch::nn::Conv2d(torch::nn::Conv2dOptions(in_channels, out_channels, kernel)
                               .stride(stride)
                               .padding(kernel / 2)
                               .groups(groups)
                               .bias(false));
}

}  // namespace baleen
