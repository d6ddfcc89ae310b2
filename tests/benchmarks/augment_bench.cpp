// What each augmentation costs on one core: augment_bench [size_px ...]
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <utility>
#include <vector>

#include "core/base/seeds.h"
#include "data/augment/image_to_tensor.h"

namespace baleen {
namespace {

constexpr int kImages = 300;

std::vector<std::pair<const char*, AugmentOptions>> operations() {
  std::vector<std::pair<const char*, AugmentOptions>> all = {{"nothing", {}}};
  const auto add = [&](const char* name, const std::function<void(AugmentOptions&)>& set) {
    all.emplace_back(name, AugmentOptions{});
    set(all.back().second);
  };
  add("d4", [](AugmentOptions& o) { o.d4 = true; });
  add("resized crop", [](AugmentOptions& o) { o.random_crop = "resized"; });
  add("affine", [](AugmentOptions& o) {
    o.affine = {.rotation_deg = 5, .shear_deg = 5, .zoom_min = 0.8, .shift = 0.05};
  });
  add("elastic", [](AugmentOptions& o) { o.elastic.alpha = 0.5; });
  add("blur", [](AugmentOptions& o) { o.blur = 1; });
  add("brightness", [](AugmentOptions& o) { o.brightness = 0.2; });
  add("contrast", [](AugmentOptions& o) { o.contrast = 0.2; });
  add("gamma", [](AugmentOptions& o) { o.gamma = 0.2; });
  add("lighting", [](AugmentOptions& o) { o.lighting = 0.1; });
  add("saturation", [](AugmentOptions& o) { o.saturation = 0.2; });
  add("noise", [](AugmentOptions& o) { o.noise = 0.05; });
  add("cutout", [](AugmentOptions& o) { o.cutout.size = 0.25; });
  all.emplace_back("all of them", AugmentOptions{});
  AugmentOptions& o = all.back().second;
  o.d4 = true;
  o.random_crop = "resized";
  o.affine = {.rotation_deg = 5, .shear_deg = 5, .zoom_min = 0.8, .shift = 0.05};
  o.elastic.alpha = 0.5;
  o.blur = 1;
  o.brightness = o.contrast = o.gamma = o.saturation = 0.2;
  o.lighting = 0.1;
  o.noise = 0.05;
  o.cutout.size = 0.25;
  return all;
}

double microseconds_per_image(const AugmentOptions& options, int64_t size_px) {
  std::vector<uint8_t> pixels(static_cast<size_t>(size_px * size_px * 3));
  CounterRandom random(1);
  for (uint8_t& pixel : pixels) pixel = static_cast<uint8_t>(random.below(256));
  std::vector<float> out(pixels.size());
  const Normalisation normalise = resolve_normalisation({}, 3);
  const PixelTable plain(normalise);
  ImageScratch scratch;
  const auto write = [&](int64_t i) {
    AugmentDraw draw = draw_augment(options, size_px, size_px, 1, i, "sample");
    if (options.random_crop != "resized") draw.crop = {.height = size_px, .width = size_px};
    write_image({pixels.data(), size_px, size_px, 3}, draw, normalise, plain, scratch,
                {out.data(), 3, size_px, false});
  };
  for (int64_t i = 0; i < 10; ++i) write(i);
  const auto start = std::chrono::steady_clock::now();
  for (int64_t i = 0; i < kImages; ++i) write(i);
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start)
             .count() /
         kImages;
}

}  // namespace
}  // namespace baleen

int main(int argc, char** argv) {
  using namespace baleen;
  one_thread_inside_opencv();
  std::vector<int64_t> sizes_px;
  for (int i = 1; i < argc; ++i) sizes_px.push_back(std::atoll(argv[i]));
  if (sizes_px.empty()) sizes_px = {64, 224};
  std::fputs(fmt::format("{:<14}", "microseconds").c_str(), stdout);
  for (int64_t size : sizes_px) std::fputs(fmt::format("{:>8} px", size).c_str(), stdout);
  std::fputs("\n", stdout);
  for (const auto& [name, options] : operations()) {
    std::fputs(fmt::format("{:<14}", name).c_str(), stdout);
    for (int64_t size : sizes_px)
      std::fputs(fmt::format("{:>11.0f}", microseconds_per_image(options, size)).c_str(), stdout);
    std::fputs("\n", stdout);
  }
  return 0;
}
