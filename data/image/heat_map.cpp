#include "data/image/heat_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <opencv2/imgproc.hpp>

#include "core/base/error.h"

namespace baleen {

Image overlay_heat(const ImageView& image, const std::vector<float>& map_HW, double opacity) {
  Image result = to_rgb(image);
  if (static_cast<int64_t>(map_HW.size()) != result.height * result.width) {
    throw Error(ErrorKind::kInternal,
                fmt::format("a heat map of {} values for an image of {}x{} pixels", map_HW.size(),
                            result.height, result.width));
  }
  const auto rows = static_cast<int>(result.height);
  const auto columns = static_cast<int>(result.width);
  cv::Mat levels(rows, columns, CV_8UC1);
  std::transform(map_HW.begin(), map_HW.end(), levels.data, [](float value) {
    return static_cast<uint8_t>(std::lround(255 * std::clamp(value, 0.0f, 1.0f)));
  });
  cv::Mat heat, rgb;
  cv::applyColorMap(levels, heat, cv::COLORMAP_JET);
  cv::cvtColor(heat, rgb, cv::COLOR_BGR2RGB);
  cv::Mat pixels(rows, columns, CV_8UC3, result.pixels.data());
  cv::addWeighted(rgb, opacity, pixels, 1 - opacity, 0, pixels);
  return result;
}

}  // namespace baleen
