#include "data/augment/resample.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "data/augment/normalise.h"
#include "data/augment/vector_kernels.h"

namespace baleen {
namespace {

using Weights = std::vector<std::vector<double>>;  // [output][source]

/// The definition: area averages where an axis shrinks, linear interpolation where it grows.
Weights exact_weights(int64_t size, double from, double length, int64_t outputs) {
  const auto width = static_cast<size_t>(size);
  Weights weights(static_cast<size_t>(outputs), std::vector<double>(width, 0.0));
  const double scale = length / static_cast<double>(outputs);
  const auto lowest = static_cast<int64_t>(std::floor(from));
  const int64_t highest = std::min(size, static_cast<int64_t>(std::ceil(from + length))) - 1;
  for (size_t o = 0; o < weights.size(); ++o) {
    const double begin = from + static_cast<double>(o) * scale;
    if (scale > 1) {
      for (size_t i = 0; i < width; ++i) {
        const double left = std::max(begin, static_cast<double>(i));
        const double right = std::min(begin + scale, static_cast<double>(i) + 1);
        if (right > left) weights[o][i] = (right - left) / scale;
      }
      continue;
    }
    const double centre = begin + scale / 2 - 0.5;
    const double clamped =
        std::clamp(centre, static_cast<double>(lowest), static_cast<double>(highest));
    const auto i = static_cast<size_t>(std::floor(clamped));
    const double rest = clamped - std::floor(clamped);
    weights[o][i] = 1 - rest;
    if (rest > 0) weights[o][i + 1] = rest;
  }
  return weights;
}

struct Case {
  int64_t channels, source_height, source_width, height, width;
  RealBox box;
  bool reverse_rows, reverse_columns;
};

Case random_case(std::mt19937& random) {
  const auto below = [&](int64_t n) { return static_cast<int64_t>(random() % n); };
  Case c{};
  c.channels = below(3) == 0 ? 1 : 3;
  c.source_height = 1 + below(70);
  c.source_width = 1 + below(70);
  c.height = 1 + below(60);
  c.width = 1 + below(60);
  const int64_t top = below(c.source_height);
  const int64_t left = below(c.source_width);
  c.box = {static_cast<double>(top), static_cast<double>(left),
           static_cast<double>(1 + below(c.source_height - top)),
           static_cast<double>(1 + below(c.source_width - left))};
  if (below(2) == 0) {  // edges within pixels, as scaled decoding gives them
    c.box.top += 0.125 * static_cast<double>(below(4));
    c.box.left += 0.375;
    c.box.height -= 0.5;
    c.box.width -= 0.5;
  }
  c.reverse_rows = below(2) == 0;
  c.reverse_columns = below(2) == 0;
  return c;
}

std::vector<uint8_t> run(const Case& c, const std::vector<uint8_t>& image, Kernels kernels) {
  std::vector<uint8_t> out(static_cast<size_t>(c.height * c.width * c.channels));
  Resampler(kernels).resize({image.data(), c.source_height, c.source_width, c.channels}, c.box,
                            c.height, c.width, c.reverse_rows, c.reverse_columns, out.data());
  return out;
}

TEST(ResamplerTest, IsWithinHalfALevelOfTheDefinition) {
  std::mt19937 random(1);
  double worst = 0;
  for (int round = 0; round < 400; ++round) {
    const Case c = random_case(random);
    std::vector<uint8_t> image(static_cast<size_t>(c.source_height * c.source_width * c.channels));
    for (uint8_t& level : image) level = static_cast<uint8_t>(random());
    const std::vector<uint8_t> out = run(c, image, Kernels::kBest);
    const Weights rows = exact_weights(c.source_height, c.box.top, c.box.height, c.height);
    const Weights columns = exact_weights(c.source_width, c.box.left, c.box.width, c.width);
    for (int64_t y = 0; y < c.height; ++y)
      for (int64_t x = 0; x < c.width; ++x)
        for (int64_t channel = 0; channel < c.channels; ++channel) {
          double expected = 0;
          for (size_t i = 0; i < rows[0].size(); ++i)
            for (size_t j = 0; j < columns[0].size() && rows[static_cast<size_t>(y)][i] > 0; ++j)
              expected += rows[static_cast<size_t>(y)][i] * columns[static_cast<size_t>(x)][j] *
                          image[(i * columns[0].size() + j) * static_cast<size_t>(c.channels) +
                                static_cast<size_t>(channel)];
          const int64_t out_y = c.reverse_rows ? c.height - 1 - y : y;
          const int64_t out_x = c.reverse_columns ? c.width - 1 - x : x;
          worst = std::max(
              worst,
              std::abs(expected -
                       out[static_cast<size_t>((out_y * c.width + out_x) * c.channels + channel)]));
        }
  }
  EXPECT_LE(worst, 0.52);
}

TEST(ResamplerTest, VectorKernelsGiveTheSameBits) {
  if (!has_vector_kernels()) GTEST_SKIP() << "this processor has none";
  std::mt19937 random(2);
  for (int round = 0; round < 3000; ++round) {
    const Case c = random_case(random);
    std::vector<uint8_t> image(static_cast<size_t>(c.source_height * c.source_width * c.channels));
    for (uint8_t& level : image) level = static_cast<uint8_t>(random());
    const std::vector<uint8_t> expected = run(c, image, Kernels::kPortable);
    for (const Kernels kernels : {Kernels::kBest, Kernels::kAvx2})
      ASSERT_EQ(run(c, image, kernels), expected)
          << c.channels << " channels, " << c.source_height << " x " << c.source_width << " to "
          << c.height << " x " << c.width;
  }
}

TEST(ResamplerTest, AResizedConstantStaysConstant) {
  const std::vector<uint8_t> image(40 * 40 * 3, 255);
  for (const int64_t size : {1, 7, 39, 41, 97}) {
    const Case c{3, 40, 40, size, size, {0.3, 0.7, 39.1, 39.2}, false, false};
    for (const uint8_t level : run(c, image, Kernels::kBest)) ASSERT_EQ(level, 255);
  }
}

TEST(VectorKernelsTest, PixelTablesAreComputedToTheLastBit) {
  if (!has_vector_kernels()) GTEST_SKIP() << "this processor has none";
  const Normalisation imagenet = resolve_normalisation({}, 3);
  std::mt19937 random(3);
  std::vector<uint8_t> levels(3 * 101);
  for (uint8_t& level : levels) level = static_cast<uint8_t>(random());
  int exact = 0;
  for (int round = 0; round < 200; ++round) {
    const double gain = round == 0 ? 1.0 : 0.5 + 0.01 * static_cast<double>(random() % 100);
    const double offset = round == 0 ? 0.0 : 0.002 * static_cast<double>(random() % 100) - 0.1;
    const PixelTable table(imagenet, gain, offset);
    if (!table.lines()) continue;  // the table itself is used then
    ++exact;
    std::vector<float> out(levels.size());
    const auto map = table.clamps() ? kernels::map_clamped_3 : kernels::map_plain_3;
    map(levels.data(), static_cast<int64_t>(levels.size()), table.lines(), out.data());
    for (size_t i = 0; i < levels.size(); ++i)
      ASSERT_EQ(out[i], table.channel(static_cast<int64_t>(i % 3))[levels[i]]);
  }
  EXPECT_GT(exact, 190);
}

TEST(VectorKernelsTest, SplitAndReverseKeepEveryPixel) {
  if (!has_vector_kernels()) GTEST_SKIP() << "this processor has none";
  std::mt19937 random(4);
  for (size_t pixels = 1; pixels < 70; ++pixels) {
    std::vector<uint8_t> in(3 * pixels), reversed(3 * pixels);
    std::vector<std::vector<uint8_t>> planes(3, std::vector<uint8_t>(pixels));
    for (uint8_t& level : in) level = static_cast<uint8_t>(random());
    const auto count = static_cast<int64_t>(pixels);
    kernels::split_3(in.data(), count, planes[0].data(), planes[1].data(), planes[2].data());
    kernels::reverse_3(in.data(), count, reversed.data());
    for (size_t x = 0; x < pixels; ++x)
      for (size_t c = 0; c < 3; ++c) {
        ASSERT_EQ(planes[c][x], in[3 * x + c]);
        ASSERT_EQ(reversed[3 * (pixels - 1 - x) + c], in[3 * x + c]);
      }
  }
}

}  // namespace
}  // namespace baleen
