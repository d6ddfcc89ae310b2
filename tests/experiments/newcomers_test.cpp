#include "experiments/newcomers/newcomers.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/metrics/metrics.h"
#include "experiments/newcomers/kernel_svm.h"
#include "experiments/newcomers/learners.h"
#include "tests/experiments/oracle.h"

namespace baleen {
namespace {

TEST(NewcomerLearnersTest, EqualScikitLearn) {
  const auto answer = testing::ask_oracle("newcomer_learners.py");
  if (!answer) GTEST_SKIP() << "BALEEN_PYTHON is not set";
  const at::Tensor x = testing::tensor_of(answer->at("x")), y = testing::tensor_of(answer->at("y"));
  const auto expect_linear = [&](const LinearModel& model, const nlohmann::json& item) {
    EXPECT_LT(testing::worst_difference(model.weights_F, testing::tensor_of(item.at("weights"))),
              1e-6)
        << "C = " << item.at("c");
    EXPECT_NEAR(model.intercept, item.at("intercept").get<double>(), 1e-6);
  };
  for (const auto& item : answer->at("logistic"))
    expect_linear(fit_logistic(x, y, item.at("c")), item);
  const at::Tensor test = testing::tensor_of(answer->at("test"));
  for (const auto& item : answer->at("svm")) {
    const KernelModel model = fit_rbf_svm(x, y, item.at("c"));
    EXPECT_NEAR(model.gamma, item.at("gamma").get<double>(), 1e-12);
    EXPECT_LT(
        testing::worst_difference(decision(model, test), testing::tensor_of(item.at("expected"))),
        1e-4)
        << "C = " << item.at("c");
    EXPECT_NEAR(static_cast<double>(model.vectors_SF.size(0)), item.at("support").get<double>(), 2);
  }
  for (const auto& item : answer->at("neighbours")) {
    EXPECT_LT(testing::worst_difference(
                  nearest_neighbours(x, y, test, item.at("k"), item.at("by_distance")),
                  testing::tensor_of(item.at("expected"))),
              1e-12)
        << "k = " << item.at("k");
  }
  const auto& boosted = answer->at("boosted");
  if (boosted.is_null()) GTEST_SKIP() << "all but LightGBM was compared: it is not installed";
  const LightGbm library(boosted.at("library").get<std::string>());
  EXPECT_LT(
      testing::worst_difference(
          library.fit_predict(x, y, test, 40, {{"learning_rate", "0.05"}, {"num_leaves", "15"}}),
          testing::tensor_of(boosted.at("expected"))),
      1e-12);
  EXPECT_THROW(library.fit_predict(x, y.narrow(0, 0, 3), test, 1, {}), Error);
}

TEST(NewcomerLearnersTest, OneClassAndMissingLibrariesAreErrors) {
  EXPECT_THROW(fit_logistic(at::rand({5, 2}), at::zeros({5})), Error);
  EXPECT_THROW(fit_rbf_svm(at::rand({5, 2}), at::ones({5})), Error);
  EXPECT_THROW(LightGbm("no-such-library.so"), Error);
}

TEST(KernelSvmTest, TellsApartWhatNoLineDoes) {
  auto generator = at::detail::createCPUGenerator(5);
  const at::Tensor x = at::randn({300, 2}, generator, at::kDouble);
  const at::Tensor y = x.square().sum(1).gt(1.4).to(at::kDouble);  // outside of a circle
  const KernelModel model = fit_rbf_svm(x, y, 10.0);
  const at::Tensor right = decision(model, x).gt(0).eq(y.gt(0));
  EXPECT_GT(right.to(at::kDouble).mean().item<double>(), 0.97);
  // The dual's conditions: alphas within their bounds, both classes' alike in sum.
  EXPECT_LE(model.coefficients_S.abs().max().item<double>(), 10.0);
  EXPECT_NEAR(model.coefficients_S.sum().item<double>(), 0.0, 1e-9);
  const KernelModel again = fit_rbf_svm(x, y, 10.0);
  EXPECT_TRUE(at::equal(again.coefficients_S, model.coefficients_S));
}

TEST(KernelSvmTest, CopiesOfBothClassesEnd) {
  const at::Tensor x = at::ones({8, 3}, at::kDouble);
  const at::Tensor y = at::arange(8).remainder(2).to(at::kDouble);
  EXPECT_NEAR(decision(fit_rbf_svm(x, y), x).abs().max().item<double>(), 0.0, 1e-9);
}

TEST(TopFourTest, OtherModelsAreReadAtTheAnchorsColumns) {
  const at::Tensor a = at::tensor({.1, .5, .3, .4, .2}, at::kDouble).view({1, 5});
  const at::Tensor b = at::tensor({1., 2., 3., 4., 5.}, at::kDouble).view({1, 5});
  EXPECT_TRUE(at::equal(top_four_features({a, b}, 0)[0],
                        at::tensor({.5, .4, .3, .2, 2., 4., 3., 5.}, at::kDouble)));
  EXPECT_TRUE(at::equal(top_four_features({a, b}, 1)[0],
                        at::tensor({5., 4., 3., 2., .2, .4, .3, .5}, at::kDouble)));
  const at::Tensor two = at::tensor({.3, .7}, at::kDouble).view({1, 2});
  EXPECT_TRUE(at::equal(top_four_features({two}, 0)[0], at::tensor({.7, .3, .3, .3}, at::kDouble)));
}

/// Scores of two models; those of newcomers are low everywhere.
std::vector<at::Tensor> make_scores(const at::Tensor& is_new_N, uint64_t seed) {
  auto generator = at::detail::createCPUGenerator(seed);
  const int64_t n = is_new_N.numel();
  std::vector<at::Tensor> models;
  const at::Tensor column = at::arange(n).remainder(8).unsqueeze(1);
  for (int model = 0; model < 2; ++model) {
    at::Tensor scores = at::rand({n, 8}, generator, at::kDouble);
    const at::Tensor known = (1 - is_new_N).unsqueeze(1) * 0.6;
    models.push_back(scores.scatter_add(1, column, known));
  }
  return models;
}

TEST(NewcomersTest, TheBlendTellsThemAndIsCrossFitted) {
  const at::Tensor is_new = at::arange(240).remainder(3).eq(0).to(at::kDouble);
  const at::Tensor test_new = at::arange(90).remainder(2).eq(0).to(at::kDouble);
  NewcomerOptions options;
  options.with_light_gbm = false;
  const auto result =
      find_newcomers(make_scores(is_new, 1), is_new, make_scores(test_new, 2), options);
  EXPECT_GT(result.auc.at("blend"), 0.8);
  EXPECT_GT(roc_auc(test_new, result.test_T), 0.75);
  EXPECT_EQ(result.auc.size(), 6u);
  EXPECT_FALSE(result.missing.empty());
  // Labels drawn at random: learners that had seen the image would know them.
  const at::Tensor drawn =
      at::rand({240}, at::detail::createCPUGenerator(3)).gt(0.5).to(at::kDouble);
  EXPECT_LT(find_newcomers(make_scores(is_new, 1), drawn, {}, options).auc.at("blend"), 0.62);
}

TEST(NewcomersTest, TooFewOfEitherKindIsAnError) {
  at::Tensor is_new = at::zeros({20}, at::kDouble);
  is_new[3] = 1;
  EXPECT_THROW(find_newcomers(make_scores(is_new, 1), is_new, {}, {}), Error);
}

}  // namespace
}  // namespace baleen
