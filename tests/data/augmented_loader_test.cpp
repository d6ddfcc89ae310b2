// Every augmentation at once through the loader: the same bits for any number of threads and ranks,
// on the processor and in batches; random passes of predictions.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "data/loader.h"
#include "tests/data/expect_error.h"
#include "tests/data/fake_table.h"

namespace baleen {
namespace {

using ::baleen::testing::expect_error;
using ::baleen::testing::FakeTable;

std::vector<int64_t> all_rows(const SampleTable& table) {
  std::vector<int64_t> rows(static_cast<size_t>(table.size()));
  std::iota(rows.begin(), rows.end(), 0);
  return rows;
}

AugmentOptions everything() {
  AugmentOptions all{.d4 = true, .random_crop = "resized", .brightness = 0.2, .contrast = 0.2};
  all.zoom = 0.1;
  all.affine = {.rotation_deg = 5, .shear_deg = 4, .zoom_min = 0.8, .shift = 0.05};
  all.elastic = {.alpha = 0.5};
  all.blur = 0.5;
  all.gamma = 0.3;
  all.lighting = 0.1;
  all.saturation = 0.4;
  all.noise = 0.05;
  all.cutout.size = 0.3;
  all.mixup.alpha = 0.4;
  return all;
}

TrainingFeedOptions feed_options(bool on_device) {
  TrainingFeedOptions options;
  options.batch = 16;
  options.seed = 11;
  options.shards = {0, 4, 4};
  options.accumulate = 2;
  options.augment = everything();
  options.augment_on_device = on_device;
  options.image.size_px = 18;
  options.image.normalise = resolve_normalisation({}, 3);
  return options;
}

struct Delivered {
  int64_t step;
  int64_t shard;
  std::vector<int64_t> rows;
  at::Tensor images;
  at::Tensor targets;
};

std::vector<Delivered> epoch_of(BatchSource& source, int64_t epoch) {
  std::vector<Delivered> all;
  source.set_epoch(epoch, 0);
  while (const auto batch = source.next())
    all.push_back(
        {batch->step, batch->shard, batch->rows, batch->input(batch->images_NCHW), batch->targets});
  return all;
}

void expect_same(const std::vector<Delivered>& a, const std::vector<Delivered>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].rows, b[i].rows);
    EXPECT_TRUE(at::equal(a[i].images, b[i].images)) << "batch " << i;
    EXPECT_TRUE(at::equal(a[i].targets, b[i].targets)) << "batch " << i;
  }
}

class AugmentedLoaderTest : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Places, AugmentedLoaderTest, ::testing::Bool(),
                         [](const auto& param) { return param.param ? "device" : "host"; });

TEST_P(AugmentedLoaderTest, ThreadsAndRanksChangeNothing) {
  const auto table = std::make_shared<FakeTable>(
      FakeTable::Options{.size = 70, .height = 20, .width = 26, .kind = TargetKind::kSingleClass});
  TrainingFeedOptions options = feed_options(GetParam());
  options.image.threads = 0;
  const auto reference = make_training_source(table, all_rows(*table), options);
  const std::vector<Delivered> expected = epoch_of(*reference, 2);
  EXPECT_EQ(expected.size(), 4u * 4u * 2u);
  for (int64_t threads : {1, 3}) {
    options.image.threads = threads;
    const auto source = make_training_source(table, all_rows(*table), options);
    expect_same(epoch_of(*source, 2), expected);
    EXPECT_FALSE(at::equal(epoch_of(*source, 3)[0].images, expected[0].images));
  }
  for (int64_t ranks : {2, 4}) {
    std::vector<Delivered> gathered;
    for (int64_t rank = 0; rank < ranks; ++rank) {
      options.shards = {4 * rank / ranks, 4 * (rank + 1) / ranks, 4};
      const auto part = make_training_source(table, all_rows(*table), options);
      for (Delivered& each : epoch_of(*part, 2)) gathered.push_back(std::move(each));
    }
    std::stable_sort(gathered.begin(), gathered.end(), [](const Delivered& a, const Delivered& b) {
      return std::pair(a.step, a.shard) < std::pair(b.step, b.shard);
    });
    expect_same(gathered, expected);
  }
}

TEST_P(AugmentedLoaderTest, TargetsAreBlendedWithTheImages) {
  const auto table =
      std::make_shared<FakeTable>(FakeTable::Options{.size = 64, .kind = TargetKind::kSingleClass});
  TrainingFeedOptions options = feed_options(GetParam());
  options.augment = {};
  options.augment.mixup.alpha = 1.0;
  options.image.size_px = 12;
  const auto source = make_training_source(table, all_rows(*table), options);
  TrainingFeedOptions whole_options = options;
  whole_options.augment.mixup.alpha = 0;
  const auto whole = make_training_source(table, all_rows(*table), whole_options);
  const std::vector<Delivered> mixed = epoch_of(*source, 0);
  const std::vector<Delivered> plain = epoch_of(*whole, 0);
  for (size_t i = 0; i < mixed.size(); ++i) {
    EXPECT_EQ(plain[i].targets.scalar_type(), at::kLong);
    ASSERT_EQ(mixed[i].targets.sizes(), (std::vector<int64_t>{2, 4}));
    const at::Tensor one_hot = at::one_hot(plain[i].targets, 4).to(at::kFloat);
    // Two samples: either each is blended with the other, or each with itself. Both blends are
    // solved for the share of the own image, which the targets must have, too.
    const at::Tensor own = plain[i].images.flatten(1);
    const at::Tensor other = own.flip({0});
    const at::Tensor share = ((mixed[i].images.flatten(1) - other) * (own - other)).sum(1) /
                             (own - other).square().sum(1);
    const at::Tensor expected =
        share.view({2, 1}) * one_hot + (1 - share.view({2, 1})) * one_hot.flip({0});
    EXPECT_TRUE(at::allclose(mixed[i].targets, expected, 1e-4, 1e-4)) << i;
  }
}

TEST(AugmentedLoaderTest, BothPlacesAgreeUpToRounding) {
  const auto table =
      std::make_shared<FakeTable>(FakeTable::Options{.size = 48, .height = 18, .width = 18});
  for (bool channels_last : {false, true}) {
    TrainingFeedOptions host = feed_options(false);
    host.image.channels_last = channels_last;
    host.image.normalise = {{0, 0, 0}, {1, 1, 1}};
    host.augment.random_crop = "padded";
    host.augment.brightness = host.augment.contrast = host.augment.gamma = 0;
    TrainingFeedOptions device = host;
    device.augment_on_device = true;
    const auto a = epoch_of(*make_training_source(table, all_rows(*table), host), 1);
    const auto b = epoch_of(*make_training_source(table, all_rows(*table), device), 1);
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) {
      EXPECT_TRUE(at::equal(a[i].targets, b[i].targets));
      EXPECT_EQ(a[i].images.strides(), b[i].images.strides());
      // One level, and one more by a blur, times the saturation.
      EXPECT_LE((a[i].images - b[i].images).abs().max().item<double>(), 3.0 / 255) << i;
      EXPECT_LE((a[i].images - b[i].images).abs().mean().item<double>(), 0.1 / 255) << i;
    }
  }
}

TEST(AugmentedLoaderTest, PredictionsComeInPasses) {
  const auto table = std::make_shared<FakeTable>(FakeTable::Options{.size = 11});
  PredictionFeedOptions options;
  options.chunk = 4;
  options.image.size_px = 12;
  options.image.normalise = resolve_normalisation({}, 3);
  const auto plain = epoch_of(*make_prediction_source(table, all_rows(*table), options), 0);
  options.random_passes = 2;
  options.augment = everything();
  options.augment.mixup = {};
  options.seed = 5;
  options.image.threads = 2;
  const auto source = make_prediction_source(table, all_rows(*table), options);
  EXPECT_EQ(source->steps_per_epoch(), 3);
  std::vector<Batch> batches;
  source->set_epoch(0, 0);
  while (auto batch = source->next()) batches.push_back(std::move(*batch));
  ASSERT_EQ(batches.size(), 9u);
  for (size_t i = 0; i < 9; ++i) {
    EXPECT_EQ(batches[i].pass, static_cast<int64_t>(i % 3));
    EXPECT_EQ(batches[i].step, static_cast<int64_t>(i / 3));
    EXPECT_EQ(batches[i].rows, plain[i / 3].rows);
    EXPECT_EQ(at::equal(batches[i].images_NCHW, plain[i / 3].images), i % 3 == 0);
  }
  EXPECT_FALSE(at::equal(batches[1].images_NCHW, batches[2].images_NCHW));
  // A draw knows the sample and the pass, not the chunk.
  options.chunk = 1;
  const auto single = make_prediction_source(table, {6}, options);
  single->next();
  const Batch alone = *single->next();
  EXPECT_TRUE(at::equal(alone.images_NCHW[0], batches[4].images_NCHW[2]));
}

TEST(AugmentedLoaderTest, ContradictionsAreRefused) {
  const auto table = std::make_shared<FakeTable>(FakeTable::Options{.size = 20});
  TrainingFeedOptions training = feed_options(true);
  training.custom = {{"stripes", 0, [](const PixelBlock&, CounterRandom&) {}}};
  expect_error(ErrorKind::kConfiguration, {"'stripes'", "processor only", "augment_on"},
               [&] { make_training_source(table, all_rows(*table), training); });
  PredictionFeedOptions prediction;
  prediction.image.normalise = resolve_normalisation({}, 3);
  prediction.random_passes = 1;
  prediction.augment.mixup.alpha = 0.1;
  expect_error(ErrorKind::kConfiguration, {"mixup", "tta_augment"},
               [&] { make_prediction_source(table, all_rows(*table), prediction); });
}

TEST(EpochOrderTest, MirroredPlacesAreMirroredAndTurnsHaveDrawsOfTheirOwn) {
  const auto table =
      std::make_shared<FakeTable>(FakeTable::Options{.size = 8, .height = 18, .width = 18});
  TrainingFeedOptions options;
  options.batch = 4;
  options.epoch_samples = 12;
  options.image.size_px = 18;
  options.image.normalise = resolve_normalisation({}, 3);
  EpochOrder order({2, 2, 5, 5, 2, 5, 2, 5, 1, 1, 1, 1});
  order.mirrored = {0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 0};
  order.turns = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2};
  options.order = [order](int64_t) { return order; };
  const auto images = [&](const TrainingFeedOptions& feed) {
    const auto source = make_training_source(table, all_rows(*table), feed);
    EXPECT_EQ(source->steps_per_epoch(), 3) << "12 samples of a table of 8 rows";
    std::vector<at::Tensor> all;
    for (const Delivered& batch : epoch_of(*source, 0)) all.push_back(batch.images);
    return at::cat(all);
  };
  const at::Tensor plain = images(options);
  EXPECT_TRUE(at::equal(plain[1], plain[0].flip({2})));
  EXPECT_TRUE(at::equal(plain[3], plain[2].flip({2})));
  EXPECT_TRUE(at::equal(plain[6], plain[1]));
  EXPECT_FALSE(at::equal(plain[0], plain[1]));
  for (const bool on_device : {false, true}) {
    options.augment.affine = {.rotation_deg = 20, .shift = 0.2};
    options.augment_on_device = on_device;
    const at::Tensor changed = images(options);
    EXPECT_TRUE(at::equal(changed[8], changed[9])) << "the same turn";
    EXPECT_FALSE(at::equal(changed[8], changed[10]));
    EXPECT_FALSE(at::equal(changed[10], changed[11]));
  }
  order.turns.pop_back();
  options.order = [order](int64_t) { return order; };
  const auto source = make_training_source(table, all_rows(*table), options);
  EXPECT_THROW(source->set_epoch(0, 0), Error);
}

}  // namespace
}  // namespace baleen
