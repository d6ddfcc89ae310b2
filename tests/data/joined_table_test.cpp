#include "data/joined_table.h"

#include <gtest/gtest.h>

#include "data/loader.h"
#include "tests/data/expect_error.h"
#include "tests/data/fake_table.h"

namespace baleen {
namespace {

using ::baleen::testing::expect_error;
using ::baleen::testing::FakeTable;

std::shared_ptr<FakeTable> table(FakeTable::Options options) {
  return std::make_shared<FakeTable>(options);
}

TEST(JoinedTableTest, FurtherRowsComeBehindWithTheirLabelsAndImages) {
  const auto own = table({.size = 6, .kind = TargetKind::kMultiLabel});
  const auto other = table({.size = 9, .height = 20, .width = 16, .kind = TargetKind::kNone});
  const auto joined = joined_table(own, {{2, {0, 3}}}, {{other, {8, 3}, {{1}, {}}}});
  ASSERT_EQ(joined->size(), 8);
  EXPECT_EQ(joined->id(5), own->id(5));
  EXPECT_EQ(joined->id(6), other->id(8));
  const auto labels = [&](int64_t row) {
    const auto flags = joined->labels(row);
    return std::vector<int>(flags.begin(), flags.end());
  };
  EXPECT_EQ(labels(6), (std::vector<int>{0, 1, 0, 0}));
  EXPECT_EQ(labels(7), (std::vector<int>{0, 0, 0, 0}));
  EXPECT_EQ(labels(2), (std::vector<int>{1, 0, 0, 1})) << "corrected";
  EXPECT_EQ(labels(3), std::vector<int>(own->labels(3).begin(), own->labels(3).end()));
  EXPECT_EQ(joined->image_size(7).width, 16);
  std::vector<uint8_t> mine, theirs;
  const ImageView a = joined->image(7, 0, mine), b = other->image(3, 0, theirs);
  EXPECT_TRUE(std::equal(a.pixels, a.pixels + a.height * a.width * a.channels, b.pixels));
}

TEST(JoinedTableTest, ALoaderReadsBothKindsOfRows) {
  const auto own = table({.size = 6, .kind = TargetKind::kSingleClass});
  const auto other = table({.size = 4, .height = 30, .width = 30, .kind = TargetKind::kNone});
  const auto joined = joined_table(own, {}, {{other, {0, 2}, {{3}, {1}}}});
  TrainingFeedOptions feed;
  feed.batch = 8;
  feed.shards = {0, 1, 1};
  feed.image.size_px = 12;
  feed.image.normalise = {{0, 0, 0}, {1, 1, 1}};
  const auto source = make_training_source(joined, {0, 1, 2, 3, 4, 5, 6, 7}, feed);
  source->set_epoch(0, 0);
  const auto batch = source->next();
  ASSERT_TRUE(batch);
  for (size_t n = 0; n < batch->rows.size(); ++n)
    EXPECT_EQ(batch->targets[static_cast<int64_t>(n)].item<int64_t>(),
              joined->class_index(batch->rows[n]));
}

TEST(JoinedTableTest, WithoutAnythingToJoinItIsTheTableItself) {
  const std::shared_ptr<const SampleTable> own = table({.size = 3});
  EXPECT_EQ(joined_table(own, {}, {}), own);
}

TEST(JoinedTableTest, WhatDoesNotFitIsRefused) {
  const auto own = table({.size = 3, .kind = TargetKind::kSingleClass});
  const auto grey = table({.size = 3, .channels = 1, .kind = TargetKind::kSingleClass});
  expect_error(ErrorKind::kData, {"1 channels"}, [&] {
    (void)joined_table(own, {}, {{grey, {0}, {{1}}}});
  });
  expect_error(ErrorKind::kData, {"sample-0001", "2 classes"}, [&] {
    (void)joined_table(own, {{1, {0, 1}}}, {});
  });
}

}  // namespace
}  // namespace baleen
