// The metric that a stack is judged by is the one that its penalties are chosen by.
#include "experiments/stacking/penalty_metric.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <atomic>

#include "experiments/ensemble/contestants.h"
#include "experiments/evaluation.h"
#include "experiments/stacking/stack_input.h"

namespace baleen {
namespace {

/// Three labels, some samples without any, and two models that see them through noise.
OofData example() {
  at::manual_seed(9);
  OofData data;
  data.target_kind = TargetKind::kMultiLabel;
  data.labels = {"a", "b", "c"};
  data.models = {"first", "second"};
  data.num_folds = 3;
  for (int i = 0; i < 120; ++i) {
    data.ids.push_back(fmt::format("s{}", i));
    data.folds.push_back(i % 3);
  }
  data.targets = (at::rand({120, 3}) < 0.3).to(at::kFloat);
  data.oof_MNK = 0.5 * data.targets.unsqueeze(0) + 0.5 * at::rand({2, 120, 3});
  return data;
}

TEST(PenaltyMetric, TheFScoreTakesBetaGroupsAndEmptyScore) {
  const OofData data = example();
  const at::Tensor p = data.oof_MNK[0];
  ThresholdOptions options{.max_sweeps = 2, .beta = 0.5, .empty_score = 1};
  const ExclusiveGroups groups = {{0, 1}};
  EXPECT_EQ(f_score(options, groups)(p, data.targets),
            search_thresholds(p, data.targets, options, groups).score);
  EXPECT_NE(f_score(options)(p, data.targets), f_score({})(p, data.targets));
  options.exclusive = {{"a", "b"}};
  OofData calibrated = data;
  EXPECT_EQ(calibrated_stack_input(calibrated, {}, options).first.metric(p, data.targets),
            search_thresholds(p, data.targets, options, groups).score);
}

TEST(PenaltyMetric, AccuracyAtHalf) {
  const at::Tensor scores = at::tensor({0.6, 0.5, 0.2, 0.9}).reshape({4, 1});
  const at::Tensor targets = at::tensor({1.0, 1.0, 0.0, 0.0}).reshape({4, 1});
  EXPECT_DOUBLE_EQ(accuracy_at_half()(scores, targets), 0.5);
}

TEST(PenaltyMetric, AStackTakesTheMetricThatItsInputNames) {
  OofData data = example();
  StackInput input = make_stack_input(data);
  std::atomic<int> calls = 0;
  input.metric = [&](const at::Tensor&, const at::Tensor&) {
    ++calls;
    return 0.0;
  };
  const StackResult result = fit_stack(input, {.alphas = {1, 100}, .alpha_by = "metric"});
  EXPECT_GT(calls, 0);
  for (const StackFit& fit : result.by_fold_K)  // the largest of penalties that are equally good
    EXPECT_EQ(fit.level1_M[0].alphas_K, std::vector<double>(3, 100.0));
}

TEST(PenaltyMetric, RunsAreJudgedAndTitledByBeta) {
  const OofData data = example();
  const StackResult stack = fit_stack(make_stack_input(data), {});
  EXPECT_EQ(evaluate(data, stack, {}).metric, "F2");
  const ThresholdOptions options{.beta = 0.5, .empty_score = 1};
  const Evaluation evaluation = evaluate(data, stack, options);
  EXPECT_EQ(evaluation.metric, "F0.5");
  for (const Candidate& c : evaluation.candidates) {
    const at::Tensor scores_N = sample_scores(StackMetric::kF, data.targets.to(at::kDouble),
                                              c.oof_NK, c.thresholds.predicted_NL, options);
    EXPECT_NEAR(scores_N.mean().item<double>(), c.oof_score, 1e-12) << c.name;
  }
}

}  // namespace
}  // namespace baleen
