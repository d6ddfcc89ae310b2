#include "experiments/stacking/thresholds.h"

#include <ATen/CPUGeneratorImpl.h>

#include "core/base/error.h"
#include "core/metrics/metrics.h"
#include "tests/experiments/oracle.h"

namespace baleen {
namespace {

double mean_f_beta(const at::Tensor& predicted_NL, const at::Tensor& targets_NL, double beta = 2,
                   double empty_score = 0) {
  return sample_f_beta(targets_NL, predicted_NL, beta, empty_score);
}

at::Tensor uniform(at::IntArrayRef shape, uint64_t seed) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  return at::rand(shape, generator, at::kDouble);
}

TEST(Thresholds, EqualsThePlainCoordinateSearch) {
  const auto oracle = testing::ask_oracle("thresholds_reference.py");
  if (!oracle) GTEST_SKIP() << "BALEEN_PYTHON is not set";
  const Thresholds found =
      search_thresholds(testing::tensor_of((*oracle)["scores"]),
                        testing::tensor_of((*oracle)["truth"]), {.minimum = 0, .max_sweeps = 1});
  EXPECT_EQ(found.values_L, (*oracle)["thresholds"].get<std::vector<double>>());
  EXPECT_EQ(found.values_L, (std::vector<double>{.29, .36, .60, .60}));
  EXPECT_NEAR(found.score, (*oracle)["score"].get<double>(), 1e-12);
  EXPECT_NEAR(found.start_score, (*oracle)["start_score"].get<double>(), 1e-12);
  EXPECT_NEAR(found.start_score, .6377503, 5e-8);
  EXPECT_NEAR(found.score, .7329654, 5e-8);
}

TEST(Thresholds, MeanScoreOfTheWorkedExample) {
  const at::Tensor y =
      at::tensor({1, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0}).reshape({5, 4});
  const at::Tensor p =
      at::tensor({.9, .3, .4, .1, .2, .6, .55, .0, .1, .0, .05, .1, .2, .9, .7, .8, .1, .1, .9, .1},
                 at::kDouble)
          .reshape({5, 4});
  const at::Tensor predicted = apply_thresholds(p, std::vector<double>(4, .2));
  EXPECT_FALSE(predicted[1][0].item<bool>()) << "a score at the threshold is not predicted";
  EXPECT_NEAR(mean_f_beta(predicted, y), .5063795853, 1e-10);
  EXPECT_NEAR(mean_f_beta(predicted, y, 2, 1), .7063795853, 1e-10);
}

// One pass over one label must find what trying every cut finds.
TEST(Thresholds, ExactPassEqualsTryingEveryCut) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const at::Tensor targets = (uniform({30, 3}, seed) < 0.4).to(at::kDouble);
    // Rounded, so that scores repeat.
    const at::Tensor scores =
        ((0.3 * targets + 0.7 * uniform({30, 3}, seed + 100)) * 20).round() / 20;
    const ThresholdOptions options{.method = "exact", .minimum = 0, .max_sweeps = 1};
    std::vector<double> expected(3, options.start);
    double best = 0;
    for (size_t label = 0; label < 3; ++label) {
      best = 0;
      double choice = 0;
      for (int k = 0; k <= 40; ++k) {  // every score and every midpoint
        expected[label] = k / 40.0 + 1e-9;
        const double score = mean_f_beta(apply_thresholds(scores, expected), targets);
        if (score > best + 1e-12) {
          best = score;
          choice = expected[label];
        }
      }
      expected[label] = choice;
    }
    const Thresholds found = search_thresholds(scores, targets, options);
    EXPECT_NEAR(found.score, best, 1e-12) << "seed " << seed;
    EXPECT_TRUE(
        at::equal(apply_thresholds(scores, found.values_L), apply_thresholds(scores, expected)));
    EXPECT_NEAR(found.score, mean_f_beta(apply_thresholds(scores, found.values_L), targets), 1e-12);
  }
}

TEST(Thresholds, MoreSweepsNeverLose) {
  const at::Tensor targets = (uniform({200, 6}, 1) < 0.3).to(at::kDouble);
  const at::Tensor scores = 0.3 * targets + 0.7 * uniform({200, 6}, 2);
  for (const char* method : {"grid", "exact"}) {
    double previous =
        search_thresholds(scores, targets, {.method = method, .minimum = 0}).start_score;
    for (int64_t sweeps = 1; sweeps < 6; ++sweeps) {
      const Thresholds found = search_thresholds(
          scores, targets, {.method = method, .minimum = 0, .max_sweeps = sweeps});
      EXPECT_GE(found.score, previous - 1e-12) << method << " " << sweeps;
      EXPECT_LE(found.sweeps, sweeps);
      previous = found.score;
    }
  }
}

TEST(Thresholds, MinimumHolds) {
  const at::Tensor targets = at::ones({4, 2}, at::kDouble);  // everything is true: predict always
  const at::Tensor scores = uniform({4, 2}, 3) * 0.5 + 0.5;
  for (const char* method : {"grid", "exact"}) {
    EXPECT_EQ(search_thresholds(scores, targets, {.method = method}).values_L,
              (std::vector<double>{.05, .05}));
  }
}

TEST(Thresholds, LabelsWithoutPositivesAreNeverPredicted) {
  at::Tensor targets = (uniform({50, 2}, 4) < 0.5).to(at::kDouble);
  targets.select(1, 1).zero_();
  const Thresholds found = search_thresholds(uniform({50, 2}, 5), targets, {});
  EXPECT_EQ(found.absent_labels, std::vector<int64_t>{1});
  EXPECT_EQ(found.values_L[1], 1.0);
}

TEST(Thresholds, CrossFittingNeverUsesTheFoldItJudges) {
  const at::Tensor targets = (uniform({90, 3}, 6) < 0.4).to(at::kDouble);
  const at::Tensor scores = 0.3 * targets + 0.7 * uniform({90, 3}, 7);
  std::vector<int64_t> folds;
  for (int64_t i = 0; i < 90; ++i) folds.push_back(i % 3);
  const CrossFittedThresholds honest = cross_fit_thresholds(scores, targets, folds, {});
  at::Tensor disturbed = targets.clone();
  for (int64_t i = 0; i < 90; i += 3) disturbed[i].copy_(1 - targets[i]);  // fold 0 only
  const CrossFittedThresholds other = cross_fit_thresholds(scores, disturbed, folds, {});
  EXPECT_EQ(honest.by_fold[0], other.by_fold[0]);
  EXPECT_NE(honest.by_fold[1], other.by_fold[1]);
  EXPECT_LE(honest.score, honest.final.score + 1e-12);
  const double mean =
      (honest.score_of_fold[0] + honest.score_of_fold[1] + honest.score_of_fold[2]) / 3;
  EXPECT_NEAR(honest.score, mean, 1e-12);

  const CrossFittedThresholds averaged =
      cross_fit_thresholds(scores, targets, folds, {.average_over_folds = true});
  for (size_t l = 0; l < 3; ++l) {
    EXPECT_NEAR(averaged.final.values_L[l],
                (honest.by_fold[0][l] + honest.by_fold[1][l] + honest.by_fold[2][l]) / 3, 1e-15);
  }
}

// The 1 that forbids a label where its samples are left out was averaged like a threshold.
TEST(Thresholds, AveragesLeaveOutFoldsWithoutWhichALabelIsAbsent) {
  at::Tensor targets = (uniform({90, 2}, 8) < 0.4).to(at::kDouble);
  std::vector<int64_t> folds;
  for (int64_t i = 0; i < 90; ++i) {
    folds.push_back(i % 3);
    targets[i][1] = i % 6 == 0 ? 1 : 0;  // in fold 0 only
  }
  const at::Tensor scores = 0.3 * targets + 0.7 * uniform({90, 2}, 9);
  const CrossFittedThresholds averaged =
      cross_fit_thresholds(scores, targets, folds, {.average_over_folds = true});
  EXPECT_EQ(averaged.by_fold[0][1], 1.0);
  EXPECT_NEAR(averaged.final.values_L[1], (averaged.by_fold[1][1] + averaged.by_fold[2][1]) / 2,
              1e-15);
  targets.select(1, 1).zero_();
  EXPECT_EQ(
      cross_fit_thresholds(scores, targets, folds, {.average_over_folds = true}).final.values_L[1],
      1.0);
}

TEST(Thresholds, FixedOnesStayAndShrunkOnesGoBackTowardsTheStart) {
  at::Tensor targets = (uniform({80, 3}, 12) < 0.4).to(at::kDouble);
  targets.select(1, 2).zero_();
  const at::Tensor scores = 0.3 * targets + 0.7 * uniform({80, 3}, 13);
  const Thresholds found = search_thresholds(scores, targets, {.start = 0.3});
  ASSERT_NE(found.values_L[0], 0.3);

  const Thresholds fixed = search_thresholds(scores, targets, {.method = "fixed", .start = 0.3});
  EXPECT_EQ(fixed.values_L, std::vector<double>(3, 0.3));
  EXPECT_EQ(fixed.sweeps, 0);
  EXPECT_EQ(fixed.score, fixed.start_score);
  EXPECT_EQ(fixed.score, mean_f_beta(scores > 0.3, targets));

  const Thresholds shrunk = search_thresholds(scores, targets, {.start = 0.3, .shrinkage = 0.75});
  for (size_t l = 0; l < 2; ++l)
    EXPECT_NEAR(shrunk.values_L[l], 0.25 * found.values_L[l] + 0.75 * 0.3, 1e-15);
  EXPECT_EQ(shrunk.values_L[2], 1.0) << "a label that never occurs is still not predicted";
  EXPECT_NEAR(shrunk.score, mean_f_beta(apply_thresholds(scores, shrunk.values_L), targets), 1e-12);
}

TEST(Thresholds, LabelsOfExclusiveGroupsHaveNone) {
  const at::Tensor targets = (uniform({60, 3}, 10) < 0.4).to(at::kDouble);
  const at::Tensor scores = 0.3 * targets + 0.7 * uniform({60, 3}, 11);
  std::vector<int64_t> folds;
  for (int64_t i = 0; i < 60; ++i) folds.push_back(i % 3);
  for (const bool average : {false, true}) {
    const CrossFittedThresholds found =
        cross_fit_thresholds(scores, targets, folds, {.average_over_folds = average}, {{0, 2}});
    EXPECT_TRUE(std::isnan(found.final.values_L[0]) && std::isnan(found.final.values_L[2]));
    EXPECT_TRUE(std::isfinite(found.final.values_L[1]));
    const at::Tensor decided = apply_thresholds(scores, found.final.values_L, {{0, 2}});
    EXPECT_TRUE(at::equal(decided.select(1, 0), scores.select(1, 0) >= scores.select(1, 2)));
    EXPECT_TRUE(at::equal(decided.select(1, 2), decided.select(1, 0).logical_not()));
  }
}

/// Mean F of samples whose first two labels exclude each other: the higher score is predicted, and
/// the others where they are above their thresholds. In plain loops.
double mean_f_of_groups(const at::Tensor& scores, const at::Tensor& targets,
                        const std::vector<double>& thresholds) {
  double sum = 0;
  for (int64_t i = 0; i < scores.size(0); ++i) {
    double hits = 0, predicted = 0, actual = 0;
    for (int64_t l = 0; l < scores.size(1); ++l) {
      const double score = scores[i][l].item<double>();
      const bool on = l == 0   ? score >= scores[i][1].item<double>()  // the first of equals
                      : l == 1 ? score > scores[i][0].item<double>()
                               : score > thresholds[static_cast<size_t>(l)];
      const bool truth = targets[i][l].item<double>() != 0;
      hits += on && truth ? 1 : 0;
      predicted += on ? 1 : 0;
      actual += truth ? 1 : 0;
    }
    if (4 * actual + predicted > 0) sum += 5 * hits / (4 * actual + predicted);
  }
  return sum / double(scores.size(0));
}

TEST(Thresholds, BesideAGroupTheOthersAreTheBestThatTryingAllPairsFinds) {
  for (uint64_t seed = 0; seed < 6; ++seed) {
    at::Tensor targets = (uniform({24, 4}, seed + 40) < 0.4).to(at::kDouble);
    targets.select(1, 1).copy_(1 - targets.select(1, 0));
    // Rounded to tenths, so that scores within the group are equal now and then.
    const at::Tensor scores =
        ((0.3 * targets + 0.7 * uniform({24, 4}, seed + 60)) * 10).round() / 10;
    ASSERT_TRUE(at::any(scores.select(1, 0) == scores.select(1, 1)).item<bool>()) << seed;
    double best = 0;
    std::vector<double> thresholds(4, 0.2);
    for (int a = 1; a < 11; ++a) {  // cuts between tenths
      for (int b = 1; b < 11; ++b) {
        thresholds[2] = a / 10.0 - 0.05;
        thresholds[3] = b / 10.0 - 0.05;
        best = std::max(best, mean_f_of_groups(scores, targets, thresholds));
      }
    }
    const ExclusiveGroups groups = {{0, 1}};
    for (const char* method : {"grid", "exact"}) {
      // Coordinates in turn may stop where only moving both would help: from every start on the
      // grid of cuts at least one search gets there.
      double reached = 0;
      for (int start = 1; start < 11; ++start) {
        const Thresholds found = search_thresholds(
            scores, targets, {.method = method, .start = start / 10.0 - 0.05, .minimum = 0},
            groups);
        EXPECT_NEAR(found.score, mean_f_of_groups(scores, targets, found.values_L), 1e-12);
        EXPECT_NEAR(found.score,
                    mean_f_beta(apply_thresholds(scores, found.values_L, groups), targets), 1e-12);
        EXPECT_LE(found.score, best + 1e-12);
        reached = std::max(reached, found.score);
      }
      EXPECT_NEAR(reached, best, 1e-12) << method << ", seed " << seed;
    }
  }
}

TEST(Thresholds, BadInputIsNamed) {
  at::Tensor scores = at::zeros({3, 2}, at::kDouble);
  scores[2][1] = NAN;
  try {
    search_thresholds(scores, at::ones({3, 2}), {});
    ADD_FAILURE() << "accepted a NaN";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kNumeric);
    EXPECT_NE(error.message().find("row 2, label 1"), std::string::npos) << error.message();
  }
  EXPECT_THROW(search_thresholds(at::zeros({3, 2}), at::zeros({2, 2}), {}), Error);
  EXPECT_THROW(
      cross_fit_thresholds(at::zeros({3, 2}), at::ones({3, 2}), std::vector<int64_t>{0, 0, 0}, {}),
      Error);
}

}  // namespace
}  // namespace baleen
