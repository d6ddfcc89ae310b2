// What stands around the loader: two-level order, announcements, processors, copies to devices and
// to node-local disks.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <thread>

#include "data/cpu_affinity.h"
#include "data/device_prefetch.h"
#include "data/loader.h"
#include "data/manifest.h"
#include "data/pack/pack.h"
#include "data/staging.h"
#include "tests/data/dataset_files.h"
#include "tests/data/expect_error.h"
#include "tests/data/fake_table.h"

namespace baleen {
namespace {

namespace fs = std::filesystem;
using testing::error_of;
using testing::expect_error;
using testing::FakeTable;
using testing::TemporaryDirectory;

std::vector<int64_t> numbers(int64_t count) {
  std::vector<int64_t> rows(static_cast<size_t>(count));
  std::iota(rows.begin(), rows.end(), 0);
  return rows;
}

TEST(TwoLevelOrderTest, EveryRowComesOnceAndNeverFarFromItsBlock) {
  const ShuffleOptions options{.kind = "two_level", .window = 400, .block = 50};
  std::vector<int64_t> rows = numbers(3017);
  std::erase_if(rows, [](int64_t row) { return row % 7 == 0; });
  const std::vector<int64_t> order = epoch_order(rows, 5, 2, options);
  std::vector<int64_t> sorted = order;
  std::sort(sorted.begin(), sorted.end());
  EXPECT_EQ(sorted, rows);
  // At any time only as many blocks are in use as fit a window.
  std::map<int64_t, std::pair<int64_t, int64_t>> uses;  // block: first and last position
  for (int64_t p = 0; p < std::ssize(order); ++p) {
    const int64_t block =
        (std::lower_bound(rows.begin(), rows.end(), order[static_cast<size_t>(p)]) - rows.begin()) /
        options.block;
    uses.try_emplace(block, p, p).first->second.second = p;
  }
  int64_t most = 0;
  for (int64_t p = 0; p < std::ssize(order); ++p)
    most = std::max<int64_t>(most, std::count_if(uses.begin(), uses.end(), [p](const auto& use) {
                               return use.second.first <= p && p <= use.second.second;
                             }));
  EXPECT_LE(most, options.window / options.block);
  // Shuffled on both levels: neighbours in the order are hardly ever neighbours in the file.
  int64_t neighbours = 0;
  for (size_t p = 1; p < order.size(); ++p) neighbours += order[p] == order[p - 1] + 1;
  EXPECT_LT(neighbours, 30);
}

TEST(TwoLevelOrderTest, DependsOnSeedEpochAndTheSetOfRowsOnly) {
  const ShuffleOptions options{.kind = "two_level", .window = 60, .block = 20};
  std::vector<int64_t> rows = numbers(500);
  const std::vector<int64_t> order = two_level_order(rows, 1, 0, options);
  EXPECT_NE(order, two_level_order(rows, 1, 1, options));
  EXPECT_NE(order, two_level_order(rows, 2, 0, options));
  std::reverse(rows.begin(), rows.end());
  EXPECT_EQ(order, two_level_order(rows, 1, 0, options));
  expect_error(ErrorKind::kConfiguration, {"window of 10", "block of 20"},
               [&] { two_level_order(rows, 1, 0, {.window = 10, .block = 20}); });
  expect_error(ErrorKind::kConfiguration, {"'sorted'", "full, two_level"},
               [&] { epoch_order(rows, 1, 0, {.kind = "sorted"}); });
}

TrainingFeedOptions feed_options() {
  TrainingFeedOptions options;
  options.batch = 8;
  options.seed = 3;
  options.shuffle = {.kind = "two_level", .window = 16, .block = 4};
  options.augment.flip_horizontal = true;
  options.image.size_px = 9;
  options.image.queue_depth = 2;
  options.image.normalise = resolve_normalisation({}, 3);
  return options;
}

TEST(TwoLevelOrderTest, TheLoaderFollowsItOnAnyNumberOfThreads) {
  const auto table = std::make_shared<FakeTable>(FakeTable::Options{.size = 64});
  TrainingFeedOptions options = feed_options();
  for (const int64_t threads : {0, 3}) {
    options.image.threads = threads;
    const auto source = make_training_source(table, numbers(64), options);
    source->set_epoch(4, 0);
    std::vector<int64_t> seen;
    while (const auto batch = source->next())
      seen.insert(seen.end(), batch->rows.begin(), batch->rows.end());
    EXPECT_EQ(seen, two_level_order(numbers(64), 3, 4, options.shuffle));
  }
}

TEST(LoaderTest, RowsAreAnnouncedBeforeTheyAreRead) {
  const auto table = std::make_shared<FakeTable>(FakeTable::Options{.size = 64});
  TrainingFeedOptions options = feed_options();
  options.image.threads = 0;
  const auto source = make_training_source(table, numbers(64), options);
  source->set_epoch(0, 0);
  const auto first = source->next();
  // Queue depth 2: while the first micro-batch is made, the disk hears of the third.
  source->next();
  const auto third = source->next();
  for (const int64_t row : third->rows) EXPECT_TRUE(table->announced().contains(row)) << row;
  for (const int64_t row : first->rows) EXPECT_FALSE(table->announced().contains(row)) << row;
}

TEST(CpuAffinityTest, ThreadsStayOnTheNodeWhereTheyAreTakenFrom) {
  EXPECT_EQ(parse_cpu_list("0-2,5,7-8\n"), (CpuList{0, 1, 2, 5, 7, 8}));
  EXPECT_EQ(parse_cpu_list(""), CpuList{});
  EXPECT_EQ(parse_cpu_list("3-1"), CpuList{});
  const CpuList allowed = allowed_cpus();
  ASSERT_FALSE(allowed.empty());
  if (allowed.size() < 2) GTEST_SKIP() << "one processor only";
  TemporaryDirectory nodes;
  std::jthread([&] {
    run_on({allowed[0]});  // so that this thread's node is known
    EXPECT_EQ(allowed_cpus(), CpuList{allowed[0]});
    // Bound to one processor, there is nothing left to choose.
    testing::write_text(nodes / "node0/cpulist", std::to_string(allowed[0]));
    EXPECT_EQ(cpus_for_threads(1, nodes.path()), CpuList{});
  }).join();
  std::string rest;
  for (const int cpu : allowed) rest += (rest.empty() ? "" : ",") + std::to_string(cpu);
  testing::write_text(nodes / "node0/cpulist", rest);
  EXPECT_EQ(cpus_for_threads(1, nodes.path()), CpuList{}) << "one node: the system knows best";
  EXPECT_EQ(cpus_for_threads(1, nodes / "nowhere"), CpuList{});
  // A node per processor: the one of this moment, unless more threads are wanted than it has.
  for (const int cpu : allowed)
    testing::write_text(nodes / ("node" + std::to_string(cpu)) / "cpulist", std::to_string(cpu));
  EXPECT_EQ(cpus_for_threads(1, nodes.path()).size(), 1u);
  EXPECT_EQ(cpus_for_threads(2, nodes.path()), CpuList{});
}

TEST(DevicePrefetchTest, HandsOnBatchesEpochsAndErrors) {
  const auto table = std::make_shared<FakeTable>(FakeTable::Options{.size = 40, .broken = {39}});
  TrainingFeedOptions options = feed_options();
  const auto plain = make_training_source(table, numbers(39), options);
  const auto ahead =
      prefetch_to_device(make_training_source(table, numbers(39), options), at::kCPU);
  EXPECT_EQ(ahead->steps_per_epoch(), plain->steps_per_epoch());
  for (const auto& [epoch, step] :
       std::vector<std::pair<int64_t, int64_t>>{{0, 0}, {3, 2}, {1, 0}}) {
    plain->set_epoch(epoch, step);
    ahead->set_epoch(epoch, step);
    while (const auto expected = plain->next()) {
      const auto batch = ahead->next();
      ASSERT_TRUE(batch.has_value());
      EXPECT_EQ(batch->rows, expected->rows);
      EXPECT_TRUE(at::equal(batch->images_NCHW, expected->images_NCHW));
      EXPECT_TRUE(at::equal(batch->targets, expected->targets));
    }
    EXPECT_FALSE(ahead->next().has_value());
    EXPECT_FALSE(ahead->next().has_value());
  }
  ahead->set_epoch(0, 0);
  ahead->next();  // closed in the middle of an epoch
  const auto broken =
      prefetch_to_device(make_training_source(table, numbers(40), options), at::kCPU);
  expect_error(ErrorKind::kData, {"sample-0039"}, [&] {
    while (broken->next()) {
    }
  });
}

TEST(StagingTest, CopiesOnceChecksAndRepairs) {
  TemporaryDirectory directory;
  PackOptions options = testing::tagged_chips(directory, 20);
  options.shard_samples = 7;
  pack_dataset(options);
  const fs::path local = directory / "local";
  std::vector<fs::path> places(4);
  {
    std::vector<std::jthread> threads;  // as the ranks of one machine
    for (fs::path& place : places)
      threads.emplace_back([&] { place = stage_dataset(options.output, local); });
  }
  for (const fs::path& place : places) EXPECT_EQ(place, places[0]);
  const auto staged = PackedDataset::open(places[0]);
  EXPECT_EQ(staged->digest(), PackedDataset::open(options.output)->digest());
  EXPECT_EQ(staged->size(), 20);

  const fs::path shard = places[0] / "shard-001.h5";
  const auto written = fs::last_write_time(shard);
  EXPECT_EQ(stage_dataset(options.output, local), places[0]);
  EXPECT_EQ(fs::last_write_time(shard), written) << "nothing was to do";
  fs::resize_file(shard, 100);  // as an interrupted copy leaves it
  stage_dataset(options.output, local);
  EXPECT_EQ(testing::read_text(shard),
            testing::read_text(fs::path(options.output) / "shard-001.h5"));

  testing::flip_bit(fs::path(options.output) / "shard-001.h5", 5000);
  fs::remove_all(local);
  const Error error = error_of([&] { stage_dataset(options.output, local); });
  EXPECT_EQ(error.kind(), ErrorKind::kData);
  EXPECT_THAT(error.message(), ::testing::HasSubstr("shard-001.h5 does not match its digest"));
  EXPECT_FALSE(fs::exists(places[0] / "manifest.json"));
}

}  // namespace
}  // namespace baleen
