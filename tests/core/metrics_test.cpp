#include "core/metrics/metrics.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/base/error.h"
#include "core/weights/safetensors.h"
#include "tests/parity/oracle.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

at::Tensor doubles(std::vector<double> values, at::IntArrayRef shape) {
  return at::tensor(values, at::kDouble).view(shape);
}

TEST(FBetaTest, GoldenValues) {
  const at::Tensor truth =
      doubles({1, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0}, {5, 4});
  const at::Tensor decided =
      doubles({.9, .3, .4, .1, .2, .6, .55, 0, .1, 0, .05, .1, .2, .9, .7, .8, .1, .1, .9, .1},
              {5, 4})
          .gt(0.2);
  EXPECT_NEAR(sample_f_beta(truth, decided, 2.0), 0.5063795853, 1e-10);
  EXPECT_NEAR(sample_f_beta(truth, decided, 2.0, 1.0), 0.7063795853, 1e-10);
  EXPECT_NEAR(macro_f_beta(truth, decided, 2.0), 0.8244949, 1e-7);
  EXPECT_NEAR(micro_f_beta(truth, decided, 2.0), 0.8108108, 1e-7);
}

TEST(RocAucTest, TiesCountHalf) {
  EXPECT_NEAR(roc_auc(doubles({0, 1, 1, 0, 1}, {5}), doubles({.2, .5, .5, .5, .9}, {5})),
              0.8333333333, 1e-10);
  EXPECT_DOUBLE_EQ(roc_auc(doubles({0, 1, 0, 1}, {4}), doubles({3, 3, 3, 3}, {4})), 0.5);
}

TEST(RocAucTest, OneClassIsUndefinedAndNaNScoresAreErrors) {
  EXPECT_TRUE(std::isnan(roc_auc(at::ones({3}), at::rand({3}))));
  EXPECT_TRUE(std::isnan(roc_auc(at::zeros({3}), at::rand({3}))));
  EXPECT_TRUE(std::isnan(roc_auc(at::zeros({0}), at::zeros({0}))));
  try {
    roc_auc(doubles({0, 1}, {2}), doubles({0.5, std::nan("")}, {2}));
    FAIL() << "a NaN score was accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kNumeric);
  }
}

TEST(AccuracyTest, FirstOfEqualScoresCounts) {
  const at::Tensor scores = doubles({.5, .5, 0, .1, .2, .7, .3, .4, .3}, {3, 3});
  EXPECT_NEAR(accuracy(at::tensor({0, 2, 0}, at::kLong), scores), 2.0 / 3.0, 1e-15);
  EXPECT_NEAR(accuracy(at::tensor({1, 2, 0}, at::kLong), scores), 1.0 / 3.0, 1e-15);
}

TEST(LogLossTest, CertainMistakesAreFiniteAndClassesAreChecked) {
  EXPECT_NEAR(binary_log_loss(at::ones({1, 1}), at::zeros({1, 1})),
              -std::log(std::numeric_limits<double>::epsilon()), 1e-12);
  EXPECT_THROW(class_log_loss(at::tensor({3}, at::kLong), at::full({1, 3}, 1.0 / 3)), Error);
}

TEST(MetricsTest, EmptyTablesAreNaNAndShapesMustAgree) {
  EXPECT_TRUE(std::isnan(sample_f_beta(at::zeros({0, 3}), at::zeros({0, 3}), 2.0)));
  EXPECT_TRUE(std::isnan(accuracy(at::zeros({0}, at::kLong), at::zeros({0, 3}))));
  EXPECT_THROW(label_counts(at::zeros({2, 3}), at::zeros({3, 2})), Error);
  EXPECT_THROW(accuracy(at::zeros({2}, at::kLong), at::zeros({3, 3})), Error);
}

TEST(MetricsTest, ScikitLearnAgrees) {
  at::manual_seed(9);
  const int64_t num_samples = 300, num_labels = 6;
  at::Tensor truth =
      at::rand({num_samples, num_labels}).lt(at::tensor({.5, .3, .1, .02, .7, 0.})).to(at::kLong);
  truth.slice(0, 0, 5).zero_();
  const at::Tensor noise = at::rand({num_samples, num_labels}, at::kDouble);
  // Rounded, so that scores tie; never 0, so that rows can be normalised.
  const at::Tensor scores = ((truth * 0.3 + noise * 0.6 + 0.05) * 20).round() / 20 + 0.01;
  at::Tensor decided = scores.gt(0.4).to(at::kLong);
  decided.slice(0, 0, 3).zero_();
  const at::Tensor classes = at::randint(num_labels, {num_samples}, at::kLong);

  const testing::TemporaryDirectory directory;
  write_safetensors(
      directory / "table.in.safetensors",
      {{"truth", truth}, {"decided", decided}, {"scores", scores}, {"classes", classes}});
  BALEEN_RUN_ORACLE("metrics.py", directory.path());
  const SafetensorsFile answers(directory / "table.out.safetensors");
  const auto expected = [&](const std::string& name) {
    return answers.tensor(name).item<double>();
  };

  const auto counts = label_counts(truth, decided);
  for (int zero : {0, 1}) {
    EXPECT_NEAR(sample_f_beta(truth, decided, 2.0, zero),
                expected(fmt::format("f2/samples/{}", zero)), 1e-13);
    EXPECT_NEAR(macro_f_beta(truth, decided, 2.0, zero), expected(fmt::format("f2/macro/{}", zero)),
                1e-13);
    EXPECT_NEAR(micro_f_beta(truth, decided, 2.0, zero), expected(fmt::format("f2/micro/{}", zero)),
                1e-13);
    for (int64_t l = 0; l < num_labels; ++l) {
      const LabelCounts& label = counts[static_cast<size_t>(l)];
      const auto of_label = [&](const char* name) {
        return answers.tensor(fmt::format("{}/{}", name, zero))[l].item<double>();
      };
      EXPECT_NEAR(precision(label, zero), of_label("precision"), 1e-13) << l;
      EXPECT_NEAR(recall(label, zero), of_label("recall"), 1e-13) << l;
      EXPECT_NEAR(f_beta(label, 2.0, zero), of_label("f2/label"), 1e-13) << l;
    }
  }
  for (int64_t l = 0; l < num_labels; ++l) {
    const double auc = roc_auc(truth.select(1, l), scores.select(1, l));
    const double oracle = answers.tensor("auc")[l].item<double>();
    EXPECT_EQ(std::isnan(auc), std::isnan(oracle)) << l;
    if (!std::isnan(auc)) {
      EXPECT_NEAR(auc, oracle, 1e-13) << l;
    }
  }
  EXPECT_TRUE(std::isnan(roc_auc(truth.select(1, 5), scores.select(1, 5))))
      << "label 5 has no positives";
  EXPECT_NEAR(class_log_loss(classes, scores / scores.sum(1, true)), expected("class_log_loss"),
              1e-13);
  EXPECT_NEAR(binary_log_loss(truth, scores), expected("binary_log_loss"), 1e-13);
  EXPECT_NEAR(accuracy(classes, scores), expected("accuracy"), 1e-15);
}

}  // namespace
}  // namespace baleen
