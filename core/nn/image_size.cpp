#include "core/nn/image_size.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/error.h"

namespace baleen {

void require_image_size(const at::Tensor& images_NCHW, int64_t min_size_px,
                        const std::string& network) {
  const int64_t height = images_NCHW.size(2), width = images_NCHW.size(3);
  if (std::min(height, width) >= min_size_px) return;
  throw Error(ErrorKind::kConfiguration,
              fmt::format("images of {}x{} px are too small for {}, which needs {} px", height,
                          width, network, min_size_px),
              fmt::format("raise the stage's size_px to {} or more, or take another network: "
                          "`baleen models` lists the smallest sizes",
                          min_size_px));
}

}  // namespace baleen
