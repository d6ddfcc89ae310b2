#include "data/loader.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>
#include <thread>

#include "data/loader_buffers.h"
#include "data/loader_pipeline.h"
#include "data/sampler.h"
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

TrainingFeedOptions feed_options() {
  TrainingFeedOptions options;
  options.batch = 8;
  options.seed = 11;
  options.augment = {.d4 = true, .random_crop = "resized", .brightness = 0.1, .contrast = 0.1};
  options.image.size_px = 9;
  options.image.normalise = resolve_normalisation({}, 3);
  return options;
}

/// A source's batches from where it stands to the end of the epoch.
std::vector<Batch> rest_of(BatchSource& source) {
  std::vector<Batch> batches;
  while (std::optional<Batch> batch = source.next()) batches.push_back(*batch);
  return batches;
}

void expect_same(const std::vector<Batch>& a, const std::vector<Batch>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].rows, b[i].rows);
    EXPECT_EQ(a[i].step, b[i].step);
    EXPECT_EQ(a[i].shard, b[i].shard);
    EXPECT_EQ(a[i].first_of_shard, b[i].first_of_shard);
    EXPECT_EQ(a[i].last_of_shard, b[i].last_of_shard);
    EXPECT_EQ(a[i].global_count, b[i].global_count);
    EXPECT_TRUE(at::equal(a[i].images_NCHW, b[i].images_NCHW)) << "batch " << i;
    EXPECT_TRUE(at::equal(a[i].targets, b[i].targets)) << "batch " << i;
  }
}

TEST(LoaderTest, BatchesAreTheSameForAnyNumberOfThreads) {
  const auto table = std::make_shared<FakeTable>(FakeTable::Options{.size = 83});
  TrainingFeedOptions options = feed_options();
  options.accumulate = 2;
  options.image.threads = 0;
  const auto reference = make_training_source(table, all_rows(*table), options);
  reference->set_epoch(3, 0);
  const std::vector<Batch> expected = rest_of(*reference);
  ASSERT_EQ(expected.size(), 20u);
  for (int64_t threads : {1, 2, 5})
    for (int64_t depth : {1, 3, 50}) {
      options.image.threads = threads;
      options.image.queue_depth = depth;
      const auto source = make_training_source(table, all_rows(*table), options);
      source->set_epoch(3, 0);
      expect_same(rest_of(*source), expected);
    }
}

TEST(LoaderTest, ShardsDoNotDependOnHowManyRanksShareThem) {
  const auto table = std::make_shared<FakeTable>(FakeTable::Options{.size = 50});
  TrainingFeedOptions options = feed_options();
  options.shards = {0, 4, 4};
  const auto whole = make_training_source(table, all_rows(*table), options);
  whole->set_epoch(1, 0);
  const std::vector<Batch> expected = rest_of(*whole);
  std::vector<Batch> gathered;
  for (const auto& [first, last] :
       std::vector<std::pair<int64_t, int64_t>>{{0, 1}, {1, 3}, {3, 4}}) {
    options.shards = {first, last, 4};
    const auto part = make_training_source(table, all_rows(*table), options);
    EXPECT_EQ(part->steps_per_epoch(), 6);
    part->set_epoch(1, 0);
    for (Batch& batch : rest_of(*part)) gathered.push_back(std::move(batch));
  }
  std::stable_sort(gathered.begin(), gathered.end(), [](const Batch& a, const Batch& b) {
    return std::pair(a.step, a.shard) < std::pair(b.step, b.shard);
  });
  expect_same(gathered, expected);
}

TEST(LoaderTest, EveryRowComesOncePerEpoch) {
  const auto table = std::make_shared<FakeTable>(FakeTable::Options{.size = 51});
  TrainingFeedOptions options = feed_options();
  options.drop_last = false;
  options.shards = {0, 2, 2};
  const auto source = make_training_source(table, all_rows(*table), options);
  std::vector<std::vector<int64_t>> orders;
  for (int64_t epoch : {0, 1}) {
    source->set_epoch(epoch, 0);
    std::vector<int64_t> seen;
    for (const Batch& batch : rest_of(*source))
      seen.insert(seen.end(), batch.rows.begin(), batch.rows.end());
    orders.push_back(seen);
    std::sort(seen.begin(), seen.end());
    EXPECT_EQ(seen, all_rows(*table));
    EXPECT_FALSE(source->next().has_value());
  }
  EXPECT_NE(orders[0], orders[1]);
}

TEST(LoaderTest, ResumesInTheMiddleOfAnEpoch) {
  const auto table = std::make_shared<FakeTable>(FakeTable::Options{.size = 60});
  TrainingFeedOptions options = feed_options();
  options.shards = {0, 2, 2};
  options.image.threads = 2;
  const auto source = make_training_source(table, all_rows(*table), options);
  source->set_epoch(2, 0);
  std::vector<Batch> expected = rest_of(*source);
  expected.erase(expected.begin(), expected.begin() + 2 * 4);
  source->set_epoch(5, 0);  // read ahead for another epoch, dropped
  source->next();
  source->set_epoch(2, 4);
  expect_same(rest_of(*source), expected);
  source->set_epoch(2, source->steps_per_epoch());
  EXPECT_FALSE(source->next().has_value());
}

TEST(LoaderTest, ImagesAndTargetsAreThoseOfTheirRows) {
  const auto table =
      std::make_shared<FakeTable>(FakeTable::Options{.size = 10, .height = 6, .width = 6});
  PredictionFeedOptions options;
  options.chunk = 4;
  options.image.size_px = 6;
  options.image.normalise = {{0.1, 0.2, 0.3}, {0.5, 0.6, 0.7}};
  for (bool channels_last : {false, true}) {
    options.image.channels_last = channels_last;
    const auto source = make_prediction_source(table, {9, 1, 4, 0, 7}, options);
    ASSERT_EQ(source->steps_per_epoch(), 2);
    const std::vector<Batch> batches = rest_of(*source);
    ASSERT_EQ(batches.size(), 2u);
    EXPECT_EQ(batches[0].rows, (std::vector<int64_t>{9, 1, 4, 0}));
    EXPECT_EQ(batches[1].rows, (std::vector<int64_t>{7}));
    EXPECT_EQ(batches[1].global_count, 1);
    for (const Batch& batch : batches) {
      EXPECT_TRUE(batch.images_NCHW.is_contiguous(channels_last ? at::MemoryFormat::ChannelsLast
                                                                : at::MemoryFormat::Contiguous));
      EXPECT_EQ(reinterpret_cast<uintptr_t>(batch.images_NCHW.data_ptr()) % 64, 0u);
      for (size_t n = 0; n < batch.rows.size(); ++n) {
        for (int64_t c = 0; c < 3; ++c)
          for (int64_t y = 0; y < 6; ++y)
            for (int64_t x = 0; x < 6; ++x) {
              const double pixel = table->pixel(batch.rows[n], y, x, c) / 255.0;
              const double expected =
                  (pixel - options.image.normalise.mean[static_cast<size_t>(c)]) /
                  options.image.normalise.std[static_cast<size_t>(c)];
              ASSERT_EQ(batch.images_NCHW[static_cast<int64_t>(n)][c][y][x].item<float>(),
                        static_cast<float>(expected));
            }
        for (size_t l = 0; l < 4; ++l)
          EXPECT_EQ(batch.targets[static_cast<int64_t>(n)][static_cast<int64_t>(l)].item<float>(),
                    static_cast<float>(table->labels(batch.rows[n])[l]));
      }
    }
  }
}

TEST(LoaderTest, TargetsFollowTheKindOfLabels) {
  PredictionFeedOptions options;
  options.image.normalise = resolve_normalisation({.kind = "half"}, 3);
  options.image.channels = 3;
  const auto classes = std::make_shared<FakeTable>(
      FakeTable::Options{.size = 6, .channels = 1, .kind = TargetKind::kSingleClass});
  const Batch batch = *make_prediction_source(classes, {5, 2}, options)->next();
  EXPECT_EQ(batch.targets.scalar_type(), at::kLong);
  EXPECT_EQ(batch.targets[0].item<int64_t>(), 1);
  EXPECT_EQ(batch.images_NCHW.size(1), 3);  // grey repeated
  const auto none =
      std::make_shared<FakeTable>(FakeTable::Options{.size = 6, .kind = TargetKind::kNone});
  EXPECT_EQ(make_prediction_source(none, {1, 2, 3}, options)->next()->targets.sizes(),
            (std::vector<int64_t>{3, 0}));
}

TEST(LoaderTest, ChunksAreFixedWhoeverPredictsThem) {
  const auto table = std::make_shared<FakeTable>(FakeTable::Options{.size = 23});
  PredictionFeedOptions options;
  options.chunk = 5;
  options.image.normalise = resolve_normalisation({}, 3);
  EXPECT_EQ(num_chunks(23, 5), 5);
  std::vector<int64_t> seen;
  for (int64_t rank = 0; rank < 7; ++rank) {  // more ranks than chunks: some have nothing to do
    const PositionRange chunks = even_part(5, rank, 7);
    options.first_chunk = chunks.begin;
    options.last_chunk = chunks.end;
    const auto source = make_prediction_source(table, all_rows(*table), options);
    EXPECT_EQ(source->steps_per_epoch(), chunks.size());
    for (const Batch& batch : rest_of(*source)) {
      EXPECT_EQ(batch.rows.front() % 5, 0);
      seen.insert(seen.end(), batch.rows.begin(), batch.rows.end());
    }
  }
  EXPECT_EQ(seen, all_rows(*table));
}

TEST(LoaderTest, AsksForAsManyPixelsOfTheCropAsTheStageHas) {
  const auto table = std::make_shared<FakeTable>(FakeTable::Options{.size = 16});
  TrainingFeedOptions options = feed_options();
  options.augment.crop_scale_min = 0.25;
  options.image.size_px = 10;
  make_training_source(table, all_rows(*table), options)->next();
  EXPECT_EQ(table->largest_least_px, 10);
}

TEST(LoaderTest, BytesAreTheLevelsOfTheSameDraws) {
  const auto table = std::make_shared<FakeTable>(FakeTable::Options{.size = 24});
  TrainingFeedOptions options = feed_options();
  options.image.normalise = {{0, 0, 0}, {1, 1, 1}};
  for (const bool channels_last : {false, true}) {
    options.image.channels_last = channels_last;
    options.image.bytes = false;
    const auto floats = make_training_source(table, all_rows(*table), options);
    options.image.bytes = true;
    const auto bytes = make_training_source(table, all_rows(*table), options);
    for (int step = 0; step < 3; ++step) {
      const at::Tensor levels = bytes->next()->images_NCHW;
      EXPECT_EQ(levels.scalar_type(), at::kByte);
      EXPECT_TRUE(levels.is_contiguous(channels_last ? at::MemoryFormat::ChannelsLast
                                                     : at::MemoryFormat::Contiguous));
      const at::Tensor expected = floats->next()->images_NCHW * 255;
      // Changes of colour are rounded to levels.
      EXPECT_LE((levels.to(at::kFloat) - expected).abs().max().item<float>(), 0.501f);
    }
  }
}

TEST(LoaderTest, ABrokenSampleSurfacesInNextWithItsName) {
  const auto table = std::make_shared<FakeTable>(FakeTable::Options{.size = 40, .broken = {17}});
  for (int64_t threads : {0, 1, 3}) {
    PredictionFeedOptions options;
    options.chunk = 4;
    options.image.normalise = resolve_normalisation({}, 3);
    options.image.threads = threads;
    const auto source = make_prediction_source(table, all_rows(*table), options);
    for (int i = 0; i < 4; ++i) EXPECT_TRUE(source->next().has_value());
    for (int again = 0; again < 2; ++again)
      expect_error(ErrorKind::kData, {"train-000.h5", "sample-0017", "row 17", "step 4"},
                   [&] { source->next(); });
    source->set_epoch(0, 5);  // and the source can still be used
    EXPECT_EQ(rest_of(*source).size(), 5u);
  }
}

TEST(LoaderTest, ClosingInTheMiddleDoesNotHang) {
  const auto table = std::make_shared<FakeTable>(FakeTable::Options{.size = 200, .broken = {150}});
  for (int round = 0; round < 20; ++round) {
    TrainingFeedOptions options = feed_options();
    options.image.threads = 3;
    options.image.queue_depth = 2;
    const auto source = make_training_source(table, all_rows(*table), options);
    source->set_epoch(round, round % 5);
    try {
      for (int i = 0; i < round % 3; ++i) source->next();
    } catch (const Error&) {  // the broken sample: its error must not keep the threads either
    }
    if (round % 2) source->set_epoch(round + 1, 0);
  }
}

TEST(LoaderTest, ContradictionsAreRefused) {
  const auto table = std::make_shared<FakeTable>(FakeTable::Options{.size = 20});
  const auto with = [&](auto&& change) {
    TrainingFeedOptions options = feed_options();
    change(options);
    make_training_source(table, all_rows(*table), options);
  };
  expect_error(ErrorKind::kConfiguration, {"takes 1 channels", "images have 3"},
               [&] { with([](auto& o) { o.image.channels = 1; }); });
  expect_error(ErrorKind::kConfiguration, {"normalisation for 1 channels"}, [&] {
    with([](auto& o) { o.image.normalise = {{0.5}, {0.5}}; });
  });
  expect_error(ErrorKind::kConfiguration, {"crop_padding_px 9", "9 px"}, [&] {
    with([](auto& o) { o.augment = {.random_crop = "padded", .crop_padding_px = 9}; });
  });
  expect_error(ErrorKind::kConfiguration, {"20 training samples"},
               [&] { with([](auto& o) { o.batch = 32; }); });
  expect_error(ErrorKind::kConfiguration, {"queue_depth 0"},
               [&] { with([](auto& o) { o.image.queue_depth = 0; }); });
}

TEST(LoaderBuffersTest, MemoryGoesRoundOnlyWhenNothingUsesIt) {
  const auto pool = std::make_shared<BufferPool>(4);
  at::Tensor first = pool->images(2, 3, 8, false);
  void* address = first.data_ptr();
  at::Tensor view = first.slice(0, 1, 2);
  first.reset();
  at::Tensor second = pool->images(2, 3, 8, false);
  EXPECT_NE(second.data_ptr(), address);  // the view still needs it
  view.reset();
  EXPECT_EQ(pool->images(2, 3, 8, true).data_ptr(), address);
  EXPECT_EQ(pool->num_allocated(), 2u);
}

TEST(LoaderBuffersTest, AnEpochNeedsAsManyBuffersAsAreUnderWay) {
  const auto pool = std::make_shared<BufferPool>(3);
  for (int i = 0; i < 100; ++i) pool->images(2, 3, 8, false);
  EXPECT_EQ(pool->num_allocated(), 1u);
  at::Tensor outliving = std::make_shared<BufferPool>(1)->images(1, 1, 4, false);
  outliving.fill_(1);
  EXPECT_EQ(outliving.sum().item<float>(), 16.0f);
}

TEST(LoaderPipelineTest, GivesEveryItemOnceInOrder) {
  for (int64_t threads : {0, 1, 4}) {
    std::atomic<int64_t> ahead = 0;
    std::atomic<int64_t> largest = 0;
    OrderedPipeline<int64_t> pipeline(threads, 6, [&](int64_t index, int64_t) {
      largest = std::max(largest.load(), ++ahead);
      if (index % 7 == 0) std::this_thread::yield();
      return index * index;
    });
    for (int round = 0; round < 3; ++round) {
      pipeline.start(round, 200);
      ahead = 0;
      for (int64_t i = round; i < 200; ++i) {
        ASSERT_EQ(pipeline.take(), i * i);
        --ahead;
      }
      EXPECT_EQ(pipeline.take(), std::nullopt);
    }
    EXPECT_LE(largest, 7);  // six ahead, and the one being handed out
  }
}

}  // namespace
}  // namespace baleen
