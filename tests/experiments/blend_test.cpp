// Means, greedy selection and blends against plain numpy and scipy, ties included.
#include "experiments/ensemble/blend.h"

#include <map>

#include "experiments/ensemble/contestants.h"
#include "experiments/ensemble/vote.h"
#include "tests/experiments/oracle.h"

namespace baleen {
namespace {

using ::testing::ElementsAre;
using testing::tensor_of;
using testing::worst_difference;

BlendObjective objective(const std::string& name, const at::Tensor& truth_NL) {
  return [name, truth_NL](const at::Tensor& scores_NL) {
    const at::Tensor good =
        name == "mse" ? -(scores_NL - truth_NL).square() : scores_NL.gt(0.5).eq(truth_NL.gt(0.5));
    return good.to(at::kDouble).mean().item<double>();
  };
}

TEST(Blend, MeansSelectionAndWeightsEqualNumpy) {
  const auto oracle = testing::ask_oracle("second_stage.py", "blends");
  if (!oracle) GTEST_SKIP() << "BALEEN_PYTHON is not set";
  std::vector<at::Tensor> tables;
  for (const auto& table : (*oracle)["p"]) tables.push_back(tensor_of(table));
  const at::Tensor p_MNL = at::stack(tables), truth_NL = tensor_of((*oracle)["truth"]);
  const auto folds = (*oracle)["folds"].get<std::vector<int64_t>>();
  const auto weights = (*oracle)["weights"].get<std::vector<double>>();
  EXPECT_LE(worst_difference(arithmetic_mean(p_MNL, weights), tensor_of((*oracle)["arithmetic"])),
            1e-14);
  EXPECT_LE(worst_difference(geometric_mean(p_MNL, weights), tensor_of((*oracle)["geometric"])),
            1e-14);
  EXPECT_LE(worst_difference(rank_mean(p_MNL, weights), tensor_of((*oracle)["rank"])), 1e-14);
  for (const auto& [name, expected] : (*oracle)["searches"].items()) {
    const BlendWeights greedy = select_greedily(p_MNL, 12, objective(name, truth_NL));
    EXPECT_EQ(greedy.picks, expected["greedy"]["picks"].get<std::vector<int64_t>>()) << name;
    EXPECT_NEAR(greedy.objective, expected["greedy"]["objective"].get<double>(), 1e-12) << name;
    const BlendWeights blend = search_weights(p_MNL, 0.01, objective(name, truth_NL));
    EXPECT_NEAR(blend.objective, expected["blend"]["objective"].get<double>(), 1e-12) << name;
    for (size_t m = 0; m < weights.size(); ++m) {
      EXPECT_NEAR(greedy.weights_M[m], expected["greedy"]["weights"][m].get<double>(), 1e-12);
      EXPECT_NEAR(blend.weights_M[m], expected["blend"]["weights"][m].get<double>(), 1e-12)
          << name << ", model " << m;
    }
    if (name == "mse") {
      EXPECT_LE(-blend.objective, (*oracle)["least_mse"].get<double>() + 1e-4);
    }
    // Each fold by weights of the others, of which the objective sees the rows alone.
    const auto cross_fitted = [&, &metric = name](auto&& search) {
      return cross_fit_blend(p_MNL, folds, [&](const at::Tensor& p, const at::Tensor& rows) {
        return search(p, objective(metric, truth_NL.index_select(0, rows)));
      });
    };
    const auto by_greed = cross_fitted([](const at::Tensor& p, const BlendObjective& good) {
      return select_greedily(p, 12, good);
    });
    const auto by_steps = cross_fitted([](const at::Tensor& p, const BlendObjective& good) {
      return search_weights(p, 0.01, good);
    });
    EXPECT_LE(worst_difference(by_greed.oof_NL, tensor_of(expected["greedy_oof"])), 1e-12) << name;
    EXPECT_LE(worst_difference(by_steps.oof_NL, tensor_of(expected["blend_oof"])), 1e-12) << name;
    EXPECT_EQ(by_greed.final.picks, greedy.picks);
    EXPECT_EQ(by_steps.final.weights_M, blend.weights_M);
    EXPECT_EQ(by_greed.by_fold_K.size(), 3u);
  }
}

TEST(Blend, OfEqualModelsTheFirstIsTaken) {
  const at::Tensor table = at::tensor({0.2, 0.9, 0.6}, at::kDouble).reshape({3, 1});
  const at::Tensor truth = at::tensor({0.0, 1.0, 1.0}, at::kDouble).reshape({3, 1});
  const BlendWeights picked =
      select_greedily(at::stack({table, table}), 5, objective("mse", truth));
  EXPECT_THAT(picked.picks, ElementsAre(0)) << "no gain by more of the same";
  EXPECT_THAT(picked.weights_M, ElementsAre(1, 0));
  EXPECT_THAT(search_weights(at::stack({table, table}), 0.01, objective("mse", truth)).weights_M,
              ElementsAre(0.5, 0.5));
}

/// One label of 400 samples, which the models get right in 90, 75 and 60 % of them.
LoadedStack three_models() {
  LoadedStack loaded;
  StackInput& input = loaded.input;
  input.labels = {"a"};
  std::vector<double> truth;
  std::map<std::string, std::vector<double>> scores;
  const std::map<std::string, int> right_of_twenty = {{"good", 18}, {"middle", 15}, {"bad", 12}};
  for (int i = 0; i < 400; ++i) {
    input.ids.push_back(fmt::format("s{}", i));
    input.folds.push_back(i % 2);
    truth.push_back(i / 2 % 2);
    for (const auto& [name, right] : right_of_twenty) {
      const bool on = (truth.back() > 0.5) == (i % 20 < right);
      scores[name].push_back((on ? 0.7 : 0.2) + i / 10000.0);
    }
  }
  input.targets_NL = at::tensor(truth, at::kDouble).reshape({400, 1});
  std::vector<at::Tensor> tables;
  for (const char* name : {"bad", "good", "middle"}) {
    input.models.push_back(name);
    tables.push_back(at::tensor(scores[name], at::kDouble).reshape({400, 1}));
  }
  input.oof_MNL = at::stack(tables);
  loaded.weights = {1, 3, 1};
  return loaded;
}

TEST(Blend, StableIsTheMeanOfTheMedianModelAndThoseThatKeepAboveIt) {
  const LoadedStack loaded = three_models();
  StackJob job;
  job.resamples = 10;
  job.simulations = 200;
  const StackVerdict verdict = judge(loaded, job);
  EXPECT_THAT(verdict.stable, ElementsAre("good", "middle"));
  const at::Tensor& p = loaded.input.oof_MNL;
  EXPECT_LE(worst_difference(verdict.find("stable").oof_NL, 0.75 * p[1] + 0.25 * p[2]), 1e-15);
  EXPECT_EQ(verdict.contestants[verdict.best_model].name, "good");
}

}  // namespace
}  // namespace baleen
