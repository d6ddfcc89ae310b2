#pragma once

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/seeds.h"
#include "data/image/image.h"
#include "data/image/jpeg.h"
#include "data/pack/options.h"
#include "tests/support/temporary_directory.h"

namespace baleen::testing {

/// A picture that differs from seed to seed: a gradient with a coloured square.
inline Image picture(int64_t height, int64_t width, int64_t channels, int seed) {
  Image image(height, width, channels);
  for (int64_t y = 0; y < height; ++y)
    for (int64_t x = 0; x < width; ++x)
      for (int64_t c = 0; c < channels; ++c) {
        const bool inside = (x / 4 + y / 4 + seed) % 3 == 0;
        image.pixels[static_cast<size_t>((y * width + x) * channels + c)] =
            static_cast<uint8_t>(inside ? (seed * 37 + c * 80) % 256 : (x * 2 + y + c * 20) % 256);
      }
  return image;
}

/// A picture of its own for each seed: a few broad waves in every direction.
inline Image scene(int64_t height, int64_t width, int64_t channels, uint64_t seed) {
  CounterRandom random(mix64(seed));
  std::vector<double> sums(static_cast<size_t>(height * width));
  for (int wave = 0; wave < 12; ++wave) {
    const double down = random.uniform(-20, 20) / static_cast<double>(height);
    const double across = random.uniform(-20, 20) / static_cast<double>(width);
    const double phase = random.uniform(0, 6.28);
    for (int64_t y = 0; y < height; ++y)
      for (int64_t x = 0; x < width; ++x)
        sums[static_cast<size_t>(y * width + x)] +=
            std::cos(down * static_cast<double>(y) + across * static_cast<double>(x) + phase);
  }
  Image image(height, width, channels);
  for (size_t i = 0; i < image.pixels.size(); ++i) {
    const double value = 120 + 20 * sums[i / static_cast<size_t>(channels)] +
                         10 * static_cast<double>(i % static_cast<size_t>(channels));
    image.pixels[i] = static_cast<uint8_t>(std::clamp(value, 0.0, 255.0));
  }
  return image;
}

/// The image behind even haze.
inline Image behind_haze(Image image) {
  for (uint8_t& value : image.pixels) value = static_cast<uint8_t>(value / 2 + 115);
  return image;
}

inline void write_text(const std::filesystem::path& file, const std::string& text) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << text;
}

inline std::string read_text(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// The files directly in a directory: name and bytes.
inline std::map<std::string, std::string> files_of(const std::filesystem::path& directory) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(directory))
    files[entry.path().filename()] = read_text(entry.path());
  return files;
}

inline void write_png(const std::filesystem::path& file, const Image& image) {
  write_text(file, encode_png(image.view()));
}

inline void write_jpeg(const std::filesystem::path& file, const Image& image, int quality = 90) {
  const std::vector<uint8_t> bytes = encode_jpeg(image.view(), quality);
  write_text(file, {bytes.begin(), bytes.end()});
}

inline void flip_bit(const std::filesystem::path& file, uint64_t position, int bit = 0) {
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekg(static_cast<std::streamoff>(position));
  const int byte = stream.get();
  stream.seekp(static_cast<std::streamoff>(position));
  stream.put(static_cast<char>(byte ^ (1 << bit)));
}

/// A folder with n PNG chips and tags: every chip is "primary", every second "water", every fifth
/// "road".
inline PackOptions tagged_chips(const TemporaryDirectory& directory, int n, int64_t side = 16) {
  std::string csv = "image,tags\r\n";
  for (int i = 0; i < n; ++i) {
    const std::string name = "chip_" + std::to_string(i);
    write_png(directory / "chips" / (name + ".png"), picture(side, side, 3, i));
    csv += name + ",primary" + (i % 2 == 0 ? " water" : "") + (i % 5 == 0 ? " road" : "") + "\r\n";
  }
  write_text(directory / "tags.csv", csv);
  PackOptions options;
  options.output = (directory / "packed").string();
  options.source = "csv_tags";
  options.images = (directory / "chips").string();
  options.labels_file = (directory / "tags.csv").string();
  options.extension = ".png";
  options.threads = 2;
  return options;
}

/// What the action throws; a failure of kind kInternal when it throws nothing.
template <class Action>
Error error_of(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  return Error(ErrorKind::kInternal, "nothing was thrown");
}

}  // namespace baleen::testing
