#include "experiments/stacking/temperature.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/base/error.h"

namespace baleen {
namespace {

TEST(TemperatureTest, GoldenValues) {
  const at::Tensor p = at::softmax(at::tensor({2.0, 1.0, 0.0}, at::kDouble), 0).unsqueeze(0);
  const at::Tensor same = at_temperature(p, 1.0, true)[0];
  EXPECT_NEAR(same[0].item<double>(), .665241, 5e-7);
  EXPECT_NEAR(same[1].item<double>(), .244728, 5e-7);
  EXPECT_NEAR(same[2].item<double>(), .090031, 5e-7);
  const at::Tensor sharp = at_temperature(p, 1 / 2.2, true)[0];  // a coefficient of 2.2
  EXPECT_NEAR(sharp[0].item<double>(), .890408, 5e-7);
  EXPECT_NEAR(sharp[1].item<double>(), .098660, 5e-7);
  EXPECT_NEAR(sharp[2].item<double>(), .010932, 5e-7);
}

/// Samples whose classes were drawn by softmax(z): a model that claims softmax(s·z) is right again
/// at T = s.
StackInput overconfident(double s, int64_t num_samples, bool classes) {
  at::manual_seed(5);
  const at::Tensor z = at::randn({num_samples, 4}, at::kDouble);
  StackInput input;
  input.models = {"net"};
  input.labels = {"a", "b", "c", "d"};
  input.classes = classes;
  input.targets_NL = classes ? at::one_hot(at::multinomial(at::softmax(z, 1), 1).squeeze(1), 4)
                             : at::bernoulli(at::sigmoid(z));
  input.oof_MNL = (classes ? at::softmax(s * z, 1) : at::sigmoid(s * z)).unsqueeze(0);
  input.test_MTL = input.oof_MNL.clone();
  for (int64_t i = 0; i < num_samples; ++i) input.folds.push_back(i % 3);
  return input;
}

TEST(TemperatureTest, TheFitFindsWhatWasDone) {
  for (const bool classes : {true, false}) {
    const StackInput input = overconfident(2.5, 20000, classes);
    EXPECT_NEAR(fit_temperature(input.targets_NL, input.oof_MNL[0], classes), 2.5, 0.1);
  }
}

/// The minimum of a convex function: the derivative in 1/T vanishes.
TEST(TemperatureTest, TheFitIsTheMinimumOfTheLogLoss) {
  const StackInput input = overconfident(0.4, 300, true);
  const at::Tensor p = input.oof_MNL[0];
  const auto loss = [&](double temperature) {
    return -(input.targets_NL * at_temperature(p, temperature, true).log())
                .sum(1)
                .mean()
                .item<double>();
  };
  const double best = fit_temperature(input.targets_NL, p, true);
  EXPECT_LT(loss(best), loss(best * 1.001));
  EXPECT_LT(loss(best), loss(best * 0.999));
}

TEST(TemperatureTest, EachFoldIsScaledByTheOthers) {
  StackInput input = overconfident(3.0, 900, true);
  const StackInput before = input;
  StackOptions options;
  EXPECT_TRUE(calibrate_inputs(input, options).empty());
  options.calibration = "log_loss";
  const auto fits = calibrate_inputs(input, options);
  ASSERT_EQ(fits.size(), 1u);
  ASSERT_EQ(fits[0].without_fold_K.size(), 3u);
  EXPECT_LT(fits[0].loss_after, fits[0].loss_before);
  for (int64_t k = 0; k < 3; ++k) {
    std::vector<int64_t> others;
    for (size_t i = 0; i < before.folds.size(); ++i)
      if (before.folds[i] != k) others.push_back(static_cast<int64_t>(i));
    const at::Tensor index = at::tensor(others, at::kLong);
    const double expected = fit_temperature(before.targets_NL.index_select(0, index),
                                            before.oof_MNL[0].index_select(0, index), true);
    EXPECT_EQ(fits[0].without_fold_K[static_cast<size_t>(k)], expected);
    EXPECT_LT(
        (input.oof_MNL[0][k] - at_temperature(before.oof_MNL[0].narrow(0, k, 1), expected, true)[0])
            .abs()
            .max()
            .item<double>(),
        1e-12);
  }
  EXPECT_LT((input.test_MTL[0] - at_temperature(before.test_MTL[0], fits[0].all, true))
                .abs()
                .max()
                .item<double>(),
            1e-12);
  EXPECT_TRUE(at::equal(input.oof_MNL.argmax(2), before.oof_MNL.argmax(2)));
}

/// With few classes the unknown one's column was among the five best, and counted once more.
TEST(TemperatureTest, TheUnknownClassCountsOnce) {
  const at::Tensor truth = at::tensor({2, 2, 1, 0}, at::kLong);
  const at::Tensor p =
      at::tensor({.6, .3, .1, .2, .7, .1, .8, .15, .05, .5, .4, .1}, at::kDouble).view({4, 3});
  // Unknown comes last: third, third; the others second and first.
  EXPECT_DOUBLE_EQ(map_at_5_with_unknown(truth, p, 2, 0.0), (2.0 / 3 + 0.5 + 1) / 4);
  // Unknown comes first: the others third and second.
  EXPECT_DOUBLE_EQ(map_at_5_with_unknown(truth, p, 2, 0.9), (2 + 1.0 / 3 + 0.5) / 4);
  // Between the two.
  EXPECT_DOUBLE_EQ(map_at_5_with_unknown(truth, p, 2, 0.45), (2 * 0.5 + 1.0 / 3 + 1) / 4);
}

TEST(TemperatureTest, StopsWithinAFit) {
  StackInput input = overconfident(3.0, 90, true);
  StackOptions options;
  options.calibration = "log_loss";
  int left = 30;
  const auto stop = [&left] {
    if (--left <= 0) throw Error(ErrorKind::kInterrupted, "a signal asked the run to stop");
  };
  EXPECT_THROW(calibrate_inputs(input, options, {}, 0, stop), Error);
  EXPECT_EQ(left, 0);
}

/// Known samples are claimed with 0.6 and unknown ones with 0.5: a threshold of 0.9 calls all of
/// them unknown until the scores are sharpened.
TEST(TemperatureTest, MapIsMaximisedWhereTheThresholdSeparates) {
  at::Tensor p = at::zeros({20, 3}, at::kDouble);
  at::Tensor truth = at::zeros({20, 3}, at::kDouble);
  for (int64_t n = 0; n < 20; ++n) {
    const bool known = n % 2 == 0;
    const double top = known ? 0.6 : 0.5;
    p[n][0] = top;
    p[n][1] = 1 - top;
    truth[n][known ? 0 : 2] = 1;
  }
  const double temperature = fit_temperature_by_map(truth, p, 2, 0.9);
  const at::Tensor scaled = at_temperature(p, temperature, true);
  EXPECT_GT(scaled[0][0].item<double>(), 0.9);
  EXPECT_LT(scaled[1][0].item<double>(), 0.9);
  StackInput input = overconfident(1, 30, true);
  StackOptions options;
  options.calibration = "map_at_5";
  EXPECT_THROW(calibrate_inputs(input, options), Error);
  EXPECT_NO_THROW(calibrate_inputs(input, options, "d", 0.5));
}

}  // namespace
}  // namespace baleen
