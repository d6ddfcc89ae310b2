// Figures by label, fold and model, and the page that shows them.
#include "experiments/analysis/analysis.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "core/metrics/metrics.h"
#include "experiments/analysis/analysis_page.h"

namespace baleen {
namespace {

using ::testing::HasSubstr;

at::Tensor uniform(at::IntArrayRef shape, int64_t seed) {
  at::manual_seed(static_cast<uint64_t>(seed));
  return at::rand(shape, at::kDouble);
}

/// 120 samples in three folds; "rare" occurs in fold 0 only.
LoadedStack example() {
  LoadedStack loaded;
  StackInput& input = loaded.input;
  input.models = {"one", "two"};
  input.labels = {"common", "other", "rare"};
  input.targets_NL = (uniform({120, 3}, 1) < 0.4).to(at::kDouble);
  for (int i = 0; i < 120; ++i) {
    input.ids.push_back(fmt::format("s{}", i));
    input.folds.push_back(i % 3);
    input.targets_NL[i][2] = i % 6 == 0 ? 1 : 0;
  }
  const at::Tensor noise = uniform({2, 120, 3}, 2);
  input.oof_MNL = 0.3 * input.targets_NL + 0.6 * noise;
  loaded.weights = {1, 1};
  return loaded;
}

StackJob small_job() {
  StackJob job;
  job.resamples = job.simulations = 200;
  return job;
}

void expect_holds(const Interval& interval, double value) {
  EXPECT_NEAR(interval.value, value, 1e-12);
  EXPECT_LT(interval.low, value);
  EXPECT_GT(interval.high, value);
}

// The F score of a label without positives in a fold was 0, as if all of them had been missed.
TEST(Analysis, AFoldWithoutALabelHasNoFScoreOfIt) {
  const Analysis analysis = analyse(example(), small_job(), 3);
  ASSERT_EQ(analysis.models.size(), 3u);
  for (const ModelAnalysis& model : analysis.models) {
    const LabelAnalysis& rare = model.labels[2];
    EXPECT_EQ(rare.figures.positives, 20);
    ASSERT_EQ(rare.by_fold.size(), 3u);
    EXPECT_EQ(rare.by_fold[0].positives, 20);
    EXPECT_TRUE(std::isfinite(rare.by_fold[0].f.value));
    for (const size_t fold : {1u, 2u}) {
      EXPECT_EQ(rare.by_fold[fold].samples, 40);
      EXPECT_EQ(rare.by_fold[fold].positives, 0);
      EXPECT_TRUE(std::isnan(rare.by_fold[fold].f.value));
      EXPECT_TRUE(std::isnan(rare.by_fold[fold].f1.low));
      EXPECT_TRUE(std::isnan(rare.by_fold[fold].auc.value));
      EXPECT_TRUE(std::isfinite(rare.by_fold[fold].accuracy.low));
    }
  }
  const auto json = nlohmann::json::parse(analysis_to_json(analysis));
  const auto& fold = json["models"][0]["labels"][2]["by_fold"][1];
  EXPECT_TRUE(fold["f"]["value"].is_null());
  EXPECT_EQ(fold["positives"], 0);
}

TEST(Analysis, FiguresOfLabelsAreThoseOfTheirDecisions) {
  const LoadedStack loaded = example();
  const at::Tensor y = loaded.input.targets_NL, p = loaded.input.oof_MNL[0], d = p > 0.4;
  const std::vector<Figures> labels = figures_of_labels(y, d, p, {.resamples = 500});
  const std::vector<LabelCounts> counts = label_counts(y, d);
  for (size_t l = 0; l < 2; ++l) {
    const auto column = static_cast<int64_t>(l);
    expect_holds(labels[l].f, f_beta(counts[l], 2));
    expect_holds(labels[l].f1, f_beta(counts[l], 1));
    expect_holds(labels[l].accuracy,
                 y.select(1, column).eq(d.select(1, column)).to(at::kDouble).mean().item<double>());
    expect_holds(labels[l].auc, roc_auc(y.select(1, column), p.select(1, column)));
    expect_holds(labels[l].log_loss,
                 binary_log_loss(y.narrow(1, column, 1), p.narrow(1, column, 1)));
  }
  const Figures all = figures_of_all(y, d, p, {.resamples = 500});
  expect_holds(all.f, sample_f_beta(y, d, 2));
  expect_holds(all.f1, sample_f_beta(y, d, 1));
  expect_holds(all.accuracy, y.eq(d).to(at::kDouble).mean().item<double>());
  expect_holds(all.log_loss, binary_log_loss(y, p));
  expect_holds(all.auc, (labels[0].auc.value + labels[1].auc.value + labels[2].auc.value) / 3);
  EXPECT_TRUE(std::isnan(
      figures_of_labels(y, d, p, {.probabilities = false, .resamples = 10})[0].log_loss.value));
}

TEST(Analysis, TheMeanAreaOfOneLabelTwiceHasThatLabelsInterval) {
  const at::Tensor y = (uniform({300, 1}, 3) < 0.4).to(at::kDouble);
  const at::Tensor p = 0.3 * y + 0.7 * uniform({300, 1}, 4);
  const at::Tensor twice_y = at::cat({y, y}, 1), twice_p = at::cat({p, p}, 1);
  const Interval one = figures_of_labels(y, p > 0.5, p, {.resamples = 10})[0].auc;
  const Interval two = figures_of_all(twice_y, twice_p > 0.5, twice_p, {.resamples = 10}).auc;
  EXPECT_NEAR(two.value, one.value, 1e-12);
  EXPECT_NEAR(two.low, one.low, 1e-3);
  EXPECT_NEAR(two.high, one.high, 1e-3);
}

TEST(Analysis, ClassesHaveTheMeanFScoreOfThoseThatOccur) {
  const at::Tensor truth = at::tensor({0, 0, 0, 1, 1, 2, 0, 1}, at::kLong),
                   guess = at::tensor({0, 0, 1, 1, 1, 1, 0, 2}, at::kLong);
  const at::Tensor y = at::one_hot(truth, 4), d = at::one_hot(guess, 4);
  const at::Tensor p = 0.7 * d.to(at::kDouble) + 0.1;
  const Figures all = figures_of_all(y, d, p, {.classes = true, .resamples = 200});
  EXPECT_NEAR(all.f1.value, (6.0 / 7 + 4.0 / 7 + 0) / 3, 1e-12);
  EXPECT_NEAR(all.accuracy.value, 5.0 / 8, 1e-12);
  EXPECT_NEAR(all.log_loss.value, class_log_loss(truth, p), 1e-12);
  EXPECT_LE(all.f1.low, all.f1.value);
  EXPECT_GE(all.f1.high, all.f1.value);
}

TEST(Analysis, LabelsThatComeTogetherAreNeighbours) {
  const at::Tensor first = (uniform({400}, 5) < 0.5).to(at::kDouble);
  const at::Tensor second = (uniform({400}, 6) < 0.5).to(at::kDouble);
  const at::Tensor noise = uniform({6, 400}, 7) < 0.1;
  std::vector<at::Tensor> labels;
  for (int64_t l = 0; l < 6; ++l)
    labels.push_back(at::where(noise[l], 1 - first, l % 2 ? first : second));
  labels[3] = at::zeros({400}, at::kDouble);
  const std::vector<int64_t> order = relate_labels(at::stack(labels, 1)).order;
  ASSERT_EQ(order.size(), 6u);
  EXPECT_EQ(order.back(), 3) << "a label that never occurs";
  EXPECT_EQ(order[0] % 2, order[1] % 2);
  EXPECT_NE(order[0] % 2, order[4] % 2);
}

TEST(Analysis, ThePageHasBoardsRelationsAndEpochs) {
  Analysis analysis = analyse(example(), small_job(), 3);
  analysis.learning.push_back({.chain = "resnet18-f0-s1",
                               .epochs = 3,
                               .losses = {0.5, 0.3, 0.4},
                               .metrics = {0.6, 0.7, 0.8}});
  std::string page;
  for (const PageSection& section : analysis_sections(analysis, {})) page += section.html;
  for (const char* part :
       {"id=\"simulation\"", "Public − private", "public leader leads in private",
        "Metric over validation loss", "resnet18-f0-s1: loss 0.3000, metric 0.7000", "Jaccard",
        "Conditional shares", "F1", "one by label and fold", "Models by fold"})
    EXPECT_THAT(page, HasSubstr(part));
  const std::string text = print_analysis(analysis);
  for (const char* part : {"F1", "accuracy", "two, fold 2", "label by label"})
    EXPECT_THAT(text, HasSubstr(part));
}

}  // namespace
}  // namespace baleen
