#include "core/nn/layers.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/error.h"

namespace baleen {

torch::nn::Conv2d bias_free_conv(int64_t in_channels, int64_t out_channels, int64_t kernel,
                                 int64_t stride, int64_t groups) {
  return torch::nn::Conv2d(torch::nn::Conv2dOptions(in_channels, out_channels, kernel)
                               .stride(stride)
                               .padding(kernel / 2)
                               .groups(groups)
                               .bias(false));
}

void require_image_size(const at::Tensor& images_NCHW, int64_t min_size_px,
                        const std::string& network) {
  const int64_t height = images_NCHW.size(2), width = images_NCHW.size(3);
  if (std::min(height, width) >= min_size_px) return;
  throw Error(ErrorKind::kConfiguration,
              fmt::format("images of {}x{} px are too small for {}, which needs {} px", height,
                          width, network, min_size_px),
              "raise the stage's image size, or take a network with a smaller least size "
              "(`baleen models` lists them)");
}

}  // namespace baleen
