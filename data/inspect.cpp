#include "data/inspect.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "data/image/image.h"
#include "data/manifest.h"

namespace baleen {
namespace {

constexpr int kMarginPx = 8;
constexpr int kLinePx = 14;
constexpr int kBelowTextPx = 6;
constexpr int kBetweenImagesPx = 2;
constexpr double kFontScale = 0.38;
constexpr int kFont = cv::FONT_HERSHEY_SIMPLEX;

// OpenCV's fonts hold ASCII only; what is too wide for the cell is cut with dots.
std::string fitting(std::string text, int width_px) {
  for (char& c : text)
    if (c < 0x20 || c > 0x7E) c = '?';
  const auto width = [](const std::string& t) {
    int baseline = 0;
    return cv::getTextSize(t, kFont, kFontScale, 1, &baseline).width;
  };
  if (width(text) <= width_px) return text;
  while (!text.empty() && width(text + "..") > width_px) text.pop_back();
  return text + "..";
}

/// The image in the middle of a square of side_px, as large as fits.
void draw_image(const Image& image, int left, int top, int side_px, cv::Mat& sheet) {
  const Image rgb = to_rgb(image.view());
  const int64_t longer = std::max(rgb.height, rgb.width);
  const int64_t height = std::max<int64_t>(1, rgb.height * side_px / longer);
  const int64_t width = std::max<int64_t>(1, rgb.width * side_px / longer);
  Image fitted = resize_image(rgb.view(), height, width);
  const cv::Mat pixels(static_cast<int>(height), static_cast<int>(width), CV_8UC3,
                       fitted.pixels.data());
  const cv::Rect place(left + (side_px - pixels.cols) / 2, top + (side_px - pixels.rows) / 2,
                       pixels.cols, pixels.rows);
  pixels.copyTo(sheet(place));
}

}  // namespace

std::string label_text(const PackedDataset& dataset, int64_t row) {
  if (dataset.target_kind() == TargetKind::kSingleClass)
    return dataset.label_names()[static_cast<size_t>(dataset.class_index(row))];
  std::string text;
  if (dataset.target_kind() == TargetKind::kMultiLabel) {
    const std::span<const uint8_t> labels = dataset.labels(row);
    for (size_t l = 0; l < labels.size(); ++l)
      if (labels[l]) text += (text.empty() ? "" : " ") + dataset.label_names()[l];
  }
  return text;
}

std::string inspect_dataset(const std::filesystem::path& directory) {
  const Manifest manifest = read_manifest(directory);
  const char* kind = manifest.target_kind == TargetKind::kMultiLabel ? "any number of labels each"
                     : manifest.target_kind == TargetKind::kSingleClass ? "one class each"
                                                                        : "without labels";
  std::string sizes;
  for (const Resolution& r : manifest.resolutions)
    sizes += fmt::format("{}{} x {}", sizes.empty() ? "" : ", ", r.height, r.width);
  int64_t bytes = 0;
  for (const ShardEntry& shard : manifest.shards) bytes += shard.bytes;

  std::string text = fmt::format("{}\n", directory.string());
  text += fmt::format("  samples      {} ({})\n", manifest.rows, kind);
  if (manifest.copies > 0)
    text += fmt::format("  copies       {} of them, flipped or rotated, for training only\n",
                        manifest.copies);
  text += fmt::format("  images       {} px (height x width), {} channel{}, {}\n", sizes,
                      manifest.channels, manifest.channels == 1 ? "" : "s",
                      manifest.encoding == Encoding::kRaw ? "raw" : "jpeg");
  if (!manifest.variants.empty())
    text += fmt::format("  variants     the images as they are, {}\n",
                        fmt::join(manifest.variants, ", "));
  text += fmt::format("  mean colour  {:.2f}\n", fmt::join(manifest.mean_colour, ", "));
  text +=
      fmt::format("  files        {} shard{}, {:.1f} MiB\n", manifest.shards.size(),
                  manifest.shards.size() == 1 ? "" : "s", static_cast<double>(bytes) / (1 << 20));
  if (manifest.num_quarantined > 0)
    text += fmt::format("  left out     {} bad images, listed in {}\n", manifest.num_quarantined,
                        Manifest::kQuarantineFileName);
  text += fmt::format("  digest       {}\n", manifest.content_digest());
  if (manifest.target_kind == TargetKind::kNone) return text;

  size_t width = 0;
  for (const std::string& name : manifest.label_names) width = std::max(width, name.size());
  text += fmt::format("  {} {}\n", manifest.label_names.size(),
                      manifest.target_kind == TargetKind::kMultiLabel ? "labels" : "classes");
  for (size_t l = 0; l < manifest.label_names.size(); ++l)
    text += fmt::format(
        "    {:<{}}  {:>8}  {:6.2f} %\n", manifest.label_names[l], width, manifest.label_counts[l],
        100.0 * static_cast<double>(manifest.label_counts[l]) / static_cast<double>(manifest.rows));
  return text;
}

void write_contact_sheet(std::span<const SheetCell> cells, const std::filesystem::path& file,
                         const ContactSheetOptions& options) {
  if (cells.empty() || options.columns < 1 || options.cell_px < 16)
    throw Error(ErrorKind::kUsage,
                "a contact sheet needs at least one sample, one column and cells of 16 px");
  const auto side = static_cast<int>(options.cell_px);
  const int num_images = static_cast<int>(cells.front().images.size());
  const int num_lines = static_cast<int>(cells.front().lines.size());
  const int width = num_images * side + (num_images - 1) * kBetweenImagesPx;
  const int height = side + num_lines * kLinePx + kBelowTextPx;
  const int columns = static_cast<int>(std::min<int64_t>(options.columns, std::ssize(cells)));
  const int rows = static_cast<int>((std::ssize(cells) + columns - 1) / columns);
  Image canvas(kMarginPx + rows * (height + kMarginPx), kMarginPx + columns * (width + kMarginPx),
               3);
  std::fill(canvas.pixels.begin(), canvas.pixels.end(), uint8_t{255});
  cv::Mat sheet(static_cast<int>(canvas.height), static_cast<int>(canvas.width), CV_8UC3,
                canvas.pixels.data());
  for (size_t i = 0; i < cells.size(); ++i) {
    const int left = kMarginPx + static_cast<int>(i) % columns * (width + kMarginPx);
    const int top = kMarginPx + static_cast<int>(i) / columns * (height + kMarginPx);
    for (int k = 0; k < num_images; ++k)
      draw_image(cells[i].images[static_cast<size_t>(k)], left + k * (side + kBetweenImagesPx), top,
                 side, sheet);
    for (int line = 0; line < num_lines; ++line) {
      const bool last = line == num_lines - 1;
      cv::putText(sheet, fitting(cells[i].lines[static_cast<size_t>(line)], width),
                  {left, top + side + (line + 1) * kLinePx}, kFont, kFontScale,
                  last ? cv::Scalar(20, 20, 20) : cv::Scalar(110, 110, 110), 1, cv::LINE_AA);
    }
  }
  write_file_atomically(file, encode_png(canvas.view()));
}

void write_contact_sheet(const PackedDataset& dataset, std::span<const int64_t> rows,
                         const std::filesystem::path& file, const ContactSheetOptions& options) {
  std::vector<SheetCell> cells;
  std::vector<uint8_t> scratch;
  for (int64_t row : rows) {
    const ImageView stored = dataset.image(row, options.cell_px, scratch);
    cells.push_back({{Image(stored)}, {dataset.id(row), label_text(dataset, row)}});
  }
  write_contact_sheet(cells, file, options);
}

}  // namespace baleen
