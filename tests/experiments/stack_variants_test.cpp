// Every variant of the two-level stack against scikit-learn with explicit loops over folds, and
// what of a fold can reach its own scores.
#include <fmt/format.h>

#include "experiments/stacking/two_level.h"
#include "tests/experiments/oracle.h"

namespace baleen {
namespace {

using testing::tensor_of;
using testing::worst_difference;

at::Tensor tables_of(const nlohmann::json& tables) {
  std::vector<at::Tensor> result;
  for (const auto& table : tables) result.push_back(tensor_of(table));
  return at::stack(result);
}

StackInput input_of(const nlohmann::json& oracle) {
  StackInput input;
  input.oof_MNL = tables_of(oracle["oof"]);
  input.test_MTL = tables_of(oracle["test"]);
  input.targets_NL = tensor_of(oracle["truth"]);
  input.folds = oracle["folds"].get<std::vector<int64_t>>();
  input.labels = {"a", "b", "c", "d"};
  for (int64_t m = 0; m < input.oof_MNL.size(0); ++m)
    input.models.push_back(fmt::format("model{}", m));
  for (int64_t i = 0; i < input.oof_MNL.size(1); ++i) input.ids.push_back(fmt::format("s{}", i));
  for (int64_t i = 0; i < input.test_MTL.size(1); ++i)
    input.test_ids.push_back(fmt::format("t{}", i));
  return input;
}

TEST(StackVariants, EqualScikitLearnInLoops) {
  const auto oracle = testing::ask_oracle("stack_variants.py");
  if (!oracle) GTEST_SKIP() << "BALEEN_PYTHON is not set";
  const StackInput input = input_of(*oracle);
  ASSERT_EQ((*oracle)["cases"].size(), 26u);
  double worst = 0;
  for (const auto& expected : (*oracle)["cases"]) {
    StackOptions options{.inputs = expected["inputs"],
                         .first_level = expected["first_level"],
                         .alphas = (*oracle)["alphas"].get<std::vector<double>>(),
                         .alpha_per_label = expected["alpha_per_label"],
                         .alpha_by = expected["alpha_by"],
                         .nested = expected["nested"]};
    for (const char* test : {"fold_average", "refit"}) {
      options.test = test;
      const StackResult result = fit_stack(input, options);
      const double apart =
          std::max(worst_difference(result.oof_NL, tensor_of(expected["oof"])),
                   worst_difference(result.test_TL, tensor_of(expected[options.test])));
      EXPECT_LE(apart, 1e-10) << options.inputs << ", first level " << options.first_level
                              << ", nested " << options.nested << ", penalties by "
                              << options.alpha_by << ", per label " << options.alpha_per_label
                              << ", " << test;
      worst = std::max(worst, apart);
    }
  }
  std::printf("worst difference of a score to scikit-learn: %.2e\n", worst);
}

/// Two models that see three labels through noise, in three folds.
StackInput noisy() {
  at::manual_seed(21);
  StackInput input;
  input.models = {"first", "second"};
  input.labels = {"a", "b", "c"};
  input.targets_NL = (at::rand({90, 3}, at::kDouble) < 0.4).to(at::kDouble);
  input.oof_MNL = 0.3 * input.targets_NL.unsqueeze(0) + 0.7 * at::rand({2, 90, 3}, at::kDouble);
  for (int64_t i = 0; i < 90; ++i) {
    input.ids.push_back(fmt::format("s{}", i));
    input.folds.push_back(i % 3);
  }
  return input;
}

// Without nesting, the second level of the fit without a fold is fitted on first-level scores that
// were made with that fold's targets; with nesting nothing of the fold reaches it.
TEST(StackVariants, NestedFitsSeeNothingOfTheFoldTheyLeaveOut) {
  const StackInput input = noisy();
  StackInput changed = input;
  changed.targets_NL = input.targets_NL.clone();
  changed.oof_MNL = input.oof_MNL.clone();
  std::vector<int64_t> rows_of_fold;
  for (int64_t i = 1; i < 90; i += 3) rows_of_fold.push_back(i);
  const at::Tensor rows = at::tensor(rows_of_fold, at::kLong);
  changed.targets_NL.index_copy_(0, rows, 1 - input.targets_NL.index_select(0, rows));
  const auto moved = [&](const StackOptions& options, const StackInput& other) {
    const StackResult before = fit_stack(input, options), after = fit_stack(other, options);
    return worst_difference(before.oof_NL.index_select(0, rows),
                            after.oof_NL.index_select(0, rows));
  };
  for (const char* by : {"leave_one_out", "leave_one_fold_out", "metric"}) {
    StackOptions options{.alphas = {0.1, 10, 1000}, .alpha_by = by};
    EXPECT_GT(moved(options, changed), 1e-4) << by << ": the leak that nesting is there to close";
    options.nested = true;
    EXPECT_LE(moved(options, changed), 1e-10) << by;
  }
  // What is predicted for the fold is of its own scores alone: the fits without it don't see it.
  changed.oof_MNL.index_copy_(1, rows, at::rand({2, 30, 3}, at::kDouble));
  const StackOptions nested{.nested = true};
  const StackFit before = fit_stack(input, nested).by_fold_K[1];
  const StackFit after = fit_stack(changed, nested).by_fold_K[1];
  for (size_t l = 0; l < 3; ++l) {
    EXPECT_LE(worst_difference(before.level2_L[l].weights_DK, after.level2_L[l].weights_DK), 1e-9);
    EXPECT_LE(worst_difference(before.level2_L[l].intercept_K, after.level2_L[l].intercept_K),
              1e-9);
  }
}

}  // namespace
}  // namespace baleen
