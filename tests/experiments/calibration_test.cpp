#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "experiments/analysis/analysis.h"
#include "experiments/stacking/temperature.h"

namespace baleen {
namespace {

TEST(CalibrationTest, ClassesGetTheTemperatureOfTheirSoftmax) {
  at::manual_seed(5);
  const at::Tensor z = at::randn({20000, 4}, at::kDouble);
  const at::Tensor y = at::one_hot(at::multinomial(at::softmax(z, 1), 1).squeeze(1), 4);
  const at::Tensor p = at::softmax(2.5 * z, 1);
  const Calibration classes = calibrate(y, p, /*classes=*/true);
  EXPECT_NEAR(classes.temperature, 2.5, 0.1);
  EXPECT_NEAR(classes.loss_at_temperature,
              -(y * at::log_softmax(z, 1)).sum(1).mean().item<double>(), 1e-3);
  // Decisions are binned alike, whatever the temperature is of.
  const Calibration labels = calibrate(y, p, /*classes=*/false);
  EXPECT_EQ(classes.expected_error, labels.expected_error);
  EXPECT_EQ(labels.temperature, fit_temperature(y, p, /*classes=*/false));
}

}  // namespace
}  // namespace baleen
