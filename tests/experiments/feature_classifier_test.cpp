#include "experiments/feature_classifier/feature_classifier.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/metrics/metrics.h"
#include "tests/experiments/oracle.h"

namespace baleen {
namespace {

TEST(PcaTest, EqualsScikitLearn) {
  const auto answer = testing::ask_oracle("pca_sklearn.py");
  if (!answer) GTEST_SKIP() << "BALEEN_PYTHON is not set";
  for (const auto& item : *answer) {
    const Pca pca = fit_pca(testing::tensor_of(item.at("x")), item.at("share"), item.at("whiten"));
    EXPECT_LT(testing::worst_difference(pca.variance_K, testing::tensor_of(item.at("variance"))),
              1e-10);
    EXPECT_LT(testing::worst_difference(pca.transform(testing::tensor_of(item.at("test"))),
                                        testing::tensor_of(item.at("expected"))),
              1e-9);
  }
}

TEST(PcaTest, DirectionsWithoutVarianceAreLeftOut) {
  at::Tensor x = at::rand({30, 4}, at::detail::createCPUGenerator(1), at::kDouble);
  x.select(1, 2).fill_(7);
  EXPECT_EQ(fit_pca(x, 1.0, true).variance_K.numel(), 3);
  EXPECT_THROW(fit_pca(at::ones({5, 3}), 1.0, true), Error);
  EXPECT_THROW(fit_pca(at::ones({1, 3}), 1.0, true), Error);
  EXPECT_THROW(fit_pca(x, 0.0, true), Error);
}

TEST(FeatureClassifierTest, LearnsAndRepeatsItself) {
  auto generator = at::detail::createCPUGenerator(4);
  const at::Tensor centres = at::randn({6, 20}, generator);
  std::vector<int64_t> classes;
  for (int64_t row = 0; row < 120; ++row) classes.push_back(row % 6 == 5 ? 6 : row % 6);
  const at::Tensor rows = at::arange(120).remainder(6);
  const auto draw = [&] {
    return (centres.index_select(0, rows) + 0.7 * at::randn({120, 20}, generator)).to(at::kFloat);
  };
  const at::Tensor x = draw(), test = draw();
  FeatureClassifierOptions options;
  options.epochs = 20;
  options.hidden = 64;
  const at::Tensor p = classify_features(x, classes, 7, test, options);
  EXPECT_GT(accuracy(at::tensor(classes, at::kLong), p), 0.9);
  EXPECT_TRUE(at::allclose(p.sum(1), at::ones({120}, at::kDouble)));
  EXPECT_EQ(p.select(1, 5).max().item<double>(), 0.0) << "a class without rows";
  EXPECT_TRUE(at::equal(p, classify_features(x, classes, 7, test, options)));
}

}  // namespace
}  // namespace baleen
