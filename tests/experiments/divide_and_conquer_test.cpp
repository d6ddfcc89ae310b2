#include "experiments/metric/divide_and_conquer.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <map>
#include <set>

#include "core/base/error.h"

namespace baleen {
namespace {

/// Four blobs of six ids with five images each; features say the blob.
struct Toy {
  std::vector<int64_t> rows, identities;
  at::Tensor features = at::zeros({120, 3});

  Toy() {
    at::manual_seed(2);
    for (int64_t i = 0; i < 120; ++i) {
      rows.push_back(1000 + i);
      identities.push_back(i / 5);
      const int64_t blob = i / 30;
      features[i][0].fill_(10.0 * static_cast<double>(blob));
    }
    features += at::randn({120, 3});
  }
  DivideAndConquer make(DivideSection options, int64_t num_epochs = 20,
                        int64_t logical_shards = 1) const {
    return DivideAndConquer({.options = std::move(options),
                             .images_per_id = 2,
                             .dimension = 8,
                             .num_epochs = num_epochs,
                             .logical_shards = logical_shards},
                            rows, identities);
  }
};

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(DivideAndConquerTest, ThePhasesAreThoseOfTheRelease) {
  // 200 epochs: slices until 80 = 8/19 of 190, joint from 190 on.
  const DivideAndConquer division = Toy().make({.learners = 4}, 200);
  EXPECT_EQ(division.phase(79), LearningPhase::kSlices);
  EXPECT_EQ(division.phase(80), LearningPhase::kFull);
  EXPECT_EQ(division.phase(189), LearningPhase::kFull);
  EXPECT_EQ(division.phase(190), LearningPhase::kJoint);
  EXPECT_EQ(Toy().make({}).phase(0), LearningPhase::kJoint);
}

TEST(DivideAndConquerTest, ClustersComeEveryPeriodUntilAllLearnTogether) {
  DivideAndConquer division = Toy().make({.learners = 4, .every_epochs = 3, .joint_from = 7});
  EXPECT_TRUE(division.clusters_at(1)) << "there are none yet";
  division.cluster(Toy().features, 0, 1, {});
  std::vector<int64_t> epochs;
  for (int64_t e = 0; e < 20; ++e)
    if (division.clusters_at(e)) epochs.push_back(e);
  EXPECT_EQ(epochs, (std::vector<int64_t>{0, 3, 6}));
}

TEST(DivideAndConquerTest, BatchesAreOfOneClusterInTurnAndTrainItsSlice) {
  const Toy toy;
  DivideAndConquer division = toy.make({.learners = 4});
  const auto report = division.cluster(toy.features, 0, 1, {});
  EXPECT_EQ(report.sizes, (std::vector<int64_t>{30, 30, 30, 30}));
  EXPECT_EQ(report.used, 1.0);
  const auto order = division.order(0, 10, 6, 5);
  ASSERT_EQ(order.size(), 60u);
  for (int64_t step = 0; step < 10; ++step) {
    const auto blocks = division.focus(0, step, 6);
    ASSERT_EQ(blocks.size(), 1u);
    EXPECT_EQ(blocks[0].columns.first, step % 4 * 2);
    EXPECT_EQ(blocks[0].columns.size(), 2);
    for (int64_t i = 0; i < 6; ++i) {
      const auto image = static_cast<size_t>(order[static_cast<size_t>(step * 6 + i)] - 1000);
      EXPECT_EQ(division.clusters()[image], step % 4);
    }
  }
  EXPECT_EQ(division.focus(19, 0, 6)[0].columns.size(), 8) << "joint";
}

TEST(DivideAndConquerTest, FewStepsReachEveryLearnerInTheCourseOfEpochs) {
  const Toy toy;
  DivideAndConquer division = toy.make({.learners = 4});
  division.cluster(toy.features, 0, 1, {});
  std::map<int64_t, int64_t> turns;
  for (int64_t epoch = 0; epoch < 4; ++epoch) {
    const auto order = division.order(epoch, 3, 6, 5);
    ASSERT_EQ(order.size(), 18u);
    for (int64_t step = 0; step < 3; ++step) {
      const int64_t learner = (epoch + step) % 4;
      ++turns[learner];
      EXPECT_EQ(division.focus(epoch, step, 6)[0].columns.first, learner * 2);
      const auto image = static_cast<size_t>(order[static_cast<size_t>(step * 6)] - 1000);
      EXPECT_EQ(division.clusters()[image], learner);
    }
  }
  EXPECT_EQ(turns, (std::map<int64_t, int64_t>{{0, 3}, {1, 3}, {2, 3}, {3, 3}}));
}

TEST(DivideAndConquerTest, AccumulatedBatchesHaveAPartOfEveryLearner) {
  const Toy toy;
  DivideAndConquer division = toy.make({.learners = 4, .step = "accumulate"});
  division.cluster(toy.features, 0, 1, {});
  const auto order = division.order(0, 3, 20, 5);  // ten ids: 2 + 3 + 2 + 3
  const auto blocks = division.focus(0, 2, 20);
  ASSERT_EQ(blocks.size(), 4u);
  int64_t next = 0;
  for (int64_t k = 0; k < 4; ++k) {
    const BatchBlock& block = blocks[static_cast<size_t>(k)];
    EXPECT_EQ(block.first_row, next);
    EXPECT_GE(block.last_row - block.first_row, 4);
    EXPECT_EQ(block.columns.first, 2 * k);
    for (int64_t i = block.first_row; i < block.last_row; ++i)
      EXPECT_EQ(division.clusters()[static_cast<size_t>(order[static_cast<size_t>(40 + i)] - 1000)],
                k);
    next = block.last_row;
  }
  EXPECT_EQ(next, 20);
}

TEST(DivideAndConquerTest, LearnerParallelShardsHaveImagesOfOneLearner) {
  const Toy toy;
  for (const int64_t shards : {int64_t{1}, int64_t{2}, int64_t{4}, int64_t{5}, int64_t{8}}) {
    DivideAndConquer division = toy.make({.learners = 4, .step = "learner_parallel"}, 20, shards);
    division.cluster(toy.features, 0, 1, {});
    constexpr int64_t kBatch = 80;
    const auto order = division.order(0, 3, kBatch, 5);
    std::vector<int64_t> images_of(4, 0);
    for (int64_t shard = 0; shard < shards; ++shard) {
      std::set<int64_t> learners;
      const PositionRange part = even_part(kBatch, shard, shards);
      for (int64_t i = part.begin; i < part.end; ++i) {
        const auto image = static_cast<size_t>(order[static_cast<size_t>(kBatch + i)] - 1000);
        learners.insert(division.clusters()[image]);
        ++images_of[static_cast<size_t>(division.clusters()[image])];
      }
      EXPECT_LE(std::ssize(learners), (4 + shards - 1) / shards) << shards << " shards";
    }
    const auto blocks = division.focus(0, 1, kBatch);
    ASSERT_EQ(blocks.size(), 4u);
    int64_t next = 0;
    for (size_t k = 0; k < 4; ++k) {
      EXPECT_EQ(blocks[k].first_row, next);
      EXPECT_EQ(blocks[k].last_row - blocks[k].first_row, images_of[k]) << shards << " shards";
      EXPECT_EQ(blocks[k].columns.first, 2 * static_cast<int64_t>(k));
      next = blocks[k].last_row;
    }
    EXPECT_EQ(next, kBatch);
  }
}

TEST(DivideAndConquerTest, TheSmallestPartOfABatchIsForetold) {
  const Toy toy;
  for (const char* step : {"accumulate", "learner_parallel"}) {
    for (const int64_t shards : {int64_t{1}, int64_t{2}, int64_t{3}, int64_t{4}, int64_t{8}}) {
      for (int64_t ids = shards; ids <= 48; ids += shards) {
        const DivideSection options{.learners = 4, .step = step};
        DivideAndConquer division = toy.make(options, 20, shards);
        division.cluster(toy.features, 0, 1, {});
        int64_t least = ids;
        for (const BatchBlock& block : division.focus(0, 1, 2 * ids))
          least = std::min(least, (block.last_row - block.first_row) / 2);
        EXPECT_EQ(least_ids_of_a_learner(options, ids, shards), least)
            << step << ", " << shards << " shards, " << ids << " ids";
      }
    }
  }
}

TEST(DivideAndConquerTest, LearnerParallelIsAccumulateWhereLearnersAndShardsAreAsMany) {
  const Toy toy;
  const auto of_step = [&](const char* step) {
    DivideAndConquer division = toy.make({.learners = 4, .step = step}, 20, 4);
    division.cluster(toy.features, 0, 1, {});
    return division.order(0, 5, 32, 5);
  };
  EXPECT_EQ(of_step("learner_parallel"), of_step("accumulate"));
}

TEST(DivideAndConquerTest, OneLearnerIsPlainMetricLearning) {
  const Toy toy;
  const DivideAndConquer plain = toy.make({});
  for (const char* step : {"per_learner", "accumulate", "learner_parallel"}) {
    DivideAndConquer one = toy.make({.learners = 1, .step = step});
    one.cluster(toy.features, 0, 1, {});
    for (int64_t epoch : {0, 9, 19}) {
      EXPECT_EQ(one.order(epoch, 7, 10, 3), plain.order(epoch, 7, 10, 3));
      const auto blocks = one.focus(epoch, 4, 10), plain_blocks = plain.focus(epoch, 4, 10);
      ASSERT_EQ(blocks.size(), 1u);
      EXPECT_EQ(blocks[0].last_row, plain_blocks[0].last_row);
      EXPECT_EQ(blocks[0].columns.size(), plain_blocks[0].columns.size());
    }
  }
}

TEST(DivideAndConquerTest, LearnersKeepTheirData) {
  const Toy toy;
  DivideAndConquer division = toy.make({.learners = 4, .starts = 5});
  division.cluster(toy.features, 0, 1, {});
  const std::vector<int64_t> before = division.clusters();
  for (uint64_t seed = 2; seed < 12; ++seed) {  // other first centroids, other numbers
    const auto report = division.cluster(toy.features, 2, seed, {});
    EXPECT_TRUE(report.relabelled);
    EXPECT_EQ(report.kept, 1.0);
    EXPECT_EQ(division.clusters(), before);
  }
}

TEST(DivideAndConquerTest, ImagesAloneOfTheirIdRestForAPeriod) {
  Toy toy;
  toy.features[0].copy_(toy.features[119]);  // one image of id 0 looks like another blob
  DivideAndConquer division = toy.make({.learners = 4});
  const auto report = division.cluster(toy.features, 0, 1, {});
  EXPECT_EQ(division.clusters()[0], -1);
  EXPECT_NEAR(report.used, 119.0 / 120, 1e-12);
  for (const int64_t row : division.order(0, 40, 6, 5)) EXPECT_NE(row, 1000);
  const auto joint = division.order(19, 200, 6, 5);
  EXPECT_TRUE(std::find(joint.begin(), joint.end(), 1000) != joint.end());

  DivideAndConquer by_ids = toy.make({.learners = 4, .cluster = "ids"});
  EXPECT_EQ(by_ids.cluster(toy.features, 0, 1, {}).used, 1.0);
}

/// Those that rested before were taken for a cluster of their own.
TEST(DivideAndConquerTest, ImagesThatRestedDoNotCountInTheLogsMutualInformation) {
  Toy toy;
  toy.features[0].copy_(toy.features[119]);
  DivideAndConquer division = toy.make({.learners = 4, .starts = 5});
  division.cluster(toy.features, 0, 1, {});
  ASSERT_EQ(division.clusters()[0], -1);
  const auto report = division.cluster(toy.features, 2, 7, {});
  EXPECT_TRUE(report.relabelled);
  EXPECT_NEAR(report.mutual_information, 1.0, 1e-12);
}

TEST(DivideAndConquerTest, FeaturesThatAreNotFiniteAreNamedByRowAndId) {
  for (const char* cluster : {"images", "ids"}) {
    Toy toy;
    toy.features[37][1].fill_(std::numeric_limits<double>::quiet_NaN());
    DivideAndConquer division = toy.make({.learners = 4, .cluster = cluster});
    const std::string message = message_of([&] { division.cluster(toy.features, 0, 1, {}); });
    EXPECT_THAT(message, ::testing::HasSubstr("row 1037 of the dataset, training id 7")) << cluster;
  }
}

TEST(DivideAndConquerTest, ALearnerWithOneIdIsSkipped) {
  Toy toy;
  toy.features.slice(0, 0, 5).fill_(100);  // id 0 is a cluster of its own
  DivideAndConquer division = toy.make({.learners = 3});
  division.cluster(toy.features, 0, 1, {});
  std::set<int64_t> columns;
  for (int64_t step = 0; step < 12; ++step)
    columns.insert(division.focus(0, step, 6)[0].columns.first);
  EXPECT_LT(columns.size(), 3u);
  EXPECT_EQ(division.order(0, 12, 6, 1).size(), 72u);
}

TEST(DivideAndConquerTest, TheStateIsTheClusters) {
  const Toy toy;
  DivideAndConquer division = toy.make({.learners = 4}), resumed = toy.make({.learners = 4});
  division.cluster(toy.features, 0, 1, {});
  resumed.set_clusters(division.clusters());
  EXPECT_EQ(resumed.order(1, 9, 8, 2), division.order(1, 9, 8, 2));
  EXPECT_THROW(resumed.set_clusters({0, 1}), Error);
  EXPECT_THROW(resumed.set_clusters(std::vector<int64_t>(120, 4)), Error);
}

TEST(DivideAndConquerTest, PrototypesNeedOneImageMore) {
  const std::vector<int64_t> rows{0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  const std::vector<int64_t> identities{0, 0, 1, 1, 1, 1, 2, 2, 2, 2};
  const DivideAndConquer division({.prototype_images = 3, .dimension = 8}, rows, identities);
  for (const int64_t row : division.order(0, 20, 8, 1)) EXPECT_GT(row, 1);
  EXPECT_THAT(message_of([&] {
                DivideAndConquer({.prototype_images = 4, .dimension = 8}, rows, identities);
              }),
              ::testing::HasSubstr("none of the 3 ids in 10 training images has 5 images"));
}

TEST(DivideAndConquerTest, BadInputIsNamed) {
  const auto make = [](std::vector<int64_t> identities, DivideSection options = {}) {
    return message_of([&] {
      std::vector<int64_t> rows(identities.size());
      DivideAndConquer({.options = options, .dimension = 8, .num_epochs = 10}, rows, identities);
    });
  };
  EXPECT_THAT(make({0, 1, 2, 3}), ::testing::HasSubstr("none of the 4 ids"));
  EXPECT_THAT(make({0, 0, 0, 0}), ::testing::HasSubstr("nothing to tell apart"));
  EXPECT_THAT(make({0, 0, 0, 1}), ::testing::HasSubstr("nothing to tell apart"));
  EXPECT_THAT(make({0, 0, 1, 1}, {.learners = 9}), ::testing::HasSubstr("slices"));
  EXPECT_THAT(make({0, 0, 1, 1}, {.learners = 2, .full_from = 6, .joint_from = 5}),
              ::testing::HasSubstr("full_from"));
  EXPECT_EQ(make({0, 0, 1, 1}), "");
}

}  // namespace
}  // namespace baleen
