// Augmentations that extensions add: where they come in, what their draws depend on.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "core/base/error.h"
#include "data/augment/image_to_tensor.h"
#include "data/loader.h"
#include "tests/data/expect_error.h"
#include "tests/data/fake_table.h"

namespace baleen {
namespace {

using ::baleen::testing::expect_error;
using ::baleen::testing::FakeTable;

constexpr int64_t kSize = 9;

/// "stamp" writes one drawn value over the whole image; "first" writes 255 to the first pixel.
AugmentationRegistry registry() {
  AugmentationRegistry all;
  all.add({"stamp", "", {{"least", 0.0}}}, [](const Parameters& parameters) {
    const auto least = static_cast<uint64_t>(parameters.at("least"));
    if (least > 200) throw Error(ErrorKind::kConfiguration, "least is above 200");
    return [least](const PixelBlock& image, CounterRandom& random) {
      const auto value = static_cast<uint8_t>(least + random.below(256 - least));
      std::fill_n(image.pixels, image.height * image.width * image.channels, value);
    };
  });
  all.add({"first", "", {}}, [](const Parameters&) {
    return [](const PixelBlock& image, CounterRandom&) {
      for (int64_t c = 0; c < image.channels; ++c) image.at(0, 0, c) = 255;
    };
  });
  return all;
}

TrainingFeedOptions feed_options(const std::vector<CustomAugmentOptions>& custom) {
  TrainingFeedOptions options;
  options.batch = 10;
  options.seed = 11;
  options.custom = registry().create_all(custom);
  options.image.size_px = kSize;
  options.image.normalise = {{0, 0, 0}, {1, 1, 1}};
  return options;
}

std::vector<int64_t> all_rows(const FakeTable& table) {
  std::vector<int64_t> rows(static_cast<size_t>(table.size()));
  std::iota(rows.begin(), rows.end(), 0);
  return rows;
}

/// Images by row, whatever order they came in.
at::Tensor images_of(BatchSource& source, int64_t epoch, int64_t size) {
  at::Tensor images = at::zeros({size, 3, kSize, kSize});
  source.set_epoch(epoch, 0);
  while (const auto batch = source.next()) {
    for (size_t n = 0; n < batch->rows.size(); ++n)
      images[batch->rows[n]].copy_(batch->images_NCHW[static_cast<int64_t>(n)]);
  }
  return images;
}

at::Tensor images_with(const std::vector<CustomAugmentOptions>& custom, int64_t epoch = 0,
                       int64_t threads = 0, const AugmentOptions& augment = {}) {
  const auto table = std::make_shared<FakeTable>(FakeTable::Options{.size = 40});
  TrainingFeedOptions options = feed_options(custom);
  options.augment = augment;
  options.image.threads = threads;
  return images_of(*make_training_source(table, all_rows(*table), options), epoch, 40);
}

TEST(CustomAugmentTest, DrawsDependOnSeedEpochAndSampleOnly) {
  const at::Tensor images = images_with({{"stamp", {}}});
  EXPECT_TRUE(at::equal(images_with({{"stamp", {}}}, 0, 3), images));
  EXPECT_FALSE(at::equal(images_with({{"stamp", {}}}, 1), images));
  // One value per image, and not the same for all.
  EXPECT_TRUE(at::equal(images.amax({1, 2, 3}), images.amin({1, 2, 3})));
  EXPECT_GT(images.amax({1, 2, 3}).std().item<double>(), 0.1);
}

TEST(CustomAugmentTest, AStepDoesNotChangeTheDrawsOfOthers) {
  const at::Tensor images = images_with({{"stamp", {}}});
  // `first` before it is overwritten; after it, it changes its own pixel and nothing else.
  EXPECT_TRUE(at::equal(images_with({{"first", {}}, {"stamp", {}}}), images));
  at::Tensor after = images_with({{"stamp", {}}, {"first", {}}});
  EXPECT_TRUE(at::equal(after.select(2, 0).select(2, 0), at::ones({40, 3})));
  after.select(2, 0).select(2, 0).copy_(images.select(2, 0).select(2, 0));
  EXPECT_TRUE(at::equal(after, images));
  // The same step twice draws twice.
  EXPECT_FALSE(at::equal(images_with({{"stamp", {}}, {"stamp", {}}}), images));
  // Built-in options draw from a generator of their own.
  EXPECT_TRUE(at::equal(images_with({{"stamp", {}}}, 0, 0, {.d4 = true}), images));
}

TEST(CustomAugmentTest, ComesAfterSymmetriesAndBeforeColours) {
  const AugmentOptions turned{.d4 = true};
  at::Tensor plain = images_with({}, 0, 0, turned);
  at::Tensor with = images_with({{"first", {}}}, 0, 0, turned);
  EXPECT_TRUE(at::equal(with.select(2, 0).select(2, 0), at::ones({40, 3})));
  with.select(2, 0).select(2, 0).copy_(plain.select(2, 0).select(2, 0));
  EXPECT_TRUE(at::equal(with, plain));

  const at::Tensor darker = images_with({{"stamp", {{"least", 200}}}}, 0, 0, {.brightness = 0.9});
  EXPECT_LT(darker.amin().item<double>(), 200.0 / 255.0);
}

TEST(CustomAugmentTest, GreyImagesThatFeedThreeChannelsStayGrey) {
  const auto table = std::make_shared<FakeTable>(FakeTable::Options{.size = 10, .channels = 1});
  TrainingFeedOptions options = feed_options({{"stamp", {}}});
  options.image.channels = 3;
  options.image.channels_last = true;
  const at::Tensor images =
      images_of(*make_training_source(table, all_rows(*table), options), 0, 10);
  EXPECT_TRUE(at::equal(images.select(1, 0), images.select(1, 2)));
}

TEST(CustomAugmentTest, MistakesAreNamed) {
  expect_error(ErrorKind::kConfiguration, {"did you mean 'stamp'?"}, [] {
    registry().create({"stam", {}});
  });
  expect_error(ErrorKind::kConfiguration, {"no extension adds any"}, [] {
    AugmentationRegistry().create({"stamp", {}});
  });
  expect_error(ErrorKind::kConfiguration, {"did you mean 'least'?"}, [] {
    registry().create({"stamp", {{"leest", 1}}});
  });
  expect_error(ErrorKind::kConfiguration, {"least is above 200"}, [] {
    registry().create({"stamp", {{"least", 201}}});
  });
  expect_error(ErrorKind::kInternal, {"'stamp' is registered twice"}, [] {
    AugmentationRegistry all = registry();
    all.add({"stamp", "", {}}, nullptr);
  });
}

TEST(CustomAugmentTest, WhatItThrowsNamesSampleAndAugmentation) {
  const auto table = std::make_shared<FakeTable>(FakeTable::Options{.size = 10});
  TrainingFeedOptions options = feed_options({});
  options.custom = {{"broken", 0, [](const PixelBlock&, CounterRandom&) {
                       throw Error(ErrorKind::kData, "no such colour");
                     }}};
  const auto source = make_training_source(table, all_rows(*table), options);
  try {
    source->next();
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("augmentation 'broken'"), std::string::npos) << text;
    EXPECT_NE(text.find("sample-"), std::string::npos) << text;
  }
}

}  // namespace
}  // namespace baleen
