#include "experiments/stacking/ridge.h"

#include "core/base/error.h"
#include "tests/experiments/oracle.h"

namespace baleen {
namespace {

using testing::ask_oracle;
using testing::tensor_of;
using testing::worst_difference;

TEST(Ridge, EqualsScikitLearn) {
  const auto oracle = ask_oracle("ridge_sklearn.py");
  if (!oracle) GTEST_SKIP() << "BALEEN_PYTHON is not set";
  const auto grid = (*oracle)["grid"].get<std::vector<double>>();
  double worst_fit = 0, worst_loo = 0;
  for (const auto& problem : (*oracle)["cases"]) {
    const at::Tensor x = tensor_of(problem["x"]), y = tensor_of(problem["y"]);
    const RidgeProblem ridge(x, y);
    const auto num_targets = static_cast<size_t>(y.size(1));
    for (const auto& expected : problem["fits"]) {
      const double alpha = expected["alpha"];
      const RidgeModel model = ridge.fit(std::vector<double>(num_targets, alpha));
      worst_fit =
          std::max({worst_fit, worst_difference(model.weights_DK, tensor_of(expected["weights"])),
                    worst_difference(model.intercept_K, tensor_of(expected["intercept"])),
                    worst_difference(predict(model, x), tensor_of(expected["predicted"]))});
      const at::Tensor loo = tensor_of(expected["loo"]);
      worst_loo = std::max(
          worst_loo, worst_difference(ridge.leave_one_out_mse_K(alpha) / loo, at::ones_like(loo)));
    }
    EXPECT_EQ(ridge.choose_alphas(grid, false)[0], problem["shared_alpha"].get<double>());
    EXPECT_EQ(ridge.choose_alphas(grid, true),
              problem["alpha_per_target"].get<std::vector<double>>());
  }
  std::printf("worst difference to scikit-learn: fit %.2e, leave-one-out (relative) %.2e\n",
              worst_fit, worst_loo);
  EXPECT_LE(worst_fit, 1e-10);
  EXPECT_LE(worst_loo, 1e-10);
}

TEST(Ridge, WithoutPenaltyTakesTheLeastNormSolution) {
  const auto oracle = ask_oracle("ridge_sklearn.py");
  if (!oracle) GTEST_SKIP() << "BALEEN_PYTHON is not set";
  const auto& expected = (*oracle)["least_squares"];
  const RidgeProblem ridge(tensor_of(expected["x"]), tensor_of(expected["y"]));
  const RidgeModel model = ridge.fit({0, 0});
  EXPECT_LE(worst_difference(model.weights_DK, tensor_of(expected["weights"])), 1e-10);
  EXPECT_LE(worst_difference(model.intercept_K, tensor_of(expected["intercept"])), 1e-10);
  // The repeated column shares its weight with its twin.
  EXPECT_LE(worst_difference(model.weights_DK[0], model.weights_DK[3]), 1e-10);
}

TEST(Ridge, LeaveOneOutWithoutPenaltyEqualsRefitting) {
  at::Tensor x =
      at::tensor({0.3, 0.9, 0.1, 0.5, 0.7, 0.2, 0.8, 0.4, 0.6, 0.1, 0.2, 0.2}, at::kDouble);
  x = x.reshape({6, 2});
  const at::Tensor y = at::tensor({1.0, 0.0, 1.0, 1.0, 0.0, 0.0}, at::kDouble).unsqueeze(1);
  double sum = 0;
  for (int64_t left_out = 0; left_out < 6; ++left_out) {
    const at::Tensor rest = at::nonzero(at::arange(6) != left_out).squeeze(1);
    const RidgeModel model =
        RidgeProblem(x.index_select(0, rest), y.index_select(0, rest)).fit({0});
    sum += (y[left_out] - predict(model, x.narrow(0, left_out, 1))[0]).square().item<double>();
  }
  EXPECT_NEAR(RidgeProblem(x, y).leave_one_out_mse_K(0).item<double>(), sum / 6, 1e-12);
}

TEST(Ridge, ConstantTargetsAndInputsGiveTheConstant) {
  const at::Tensor x = at::tensor({1.0, 0.2, 1.0, 0.4, 1.0, 0.9}, at::kDouble).reshape({3, 2});
  const at::Tensor y = at::ones({3, 1}, at::kDouble);
  const RidgeProblem ridge(x, y);
  const RidgeModel model = ridge.fit(ridge.choose_alphas(std::vector<double>{0.1, 10}, true));
  EXPECT_EQ(model.alphas_K[0], 10) << "equal errors choose the larger penalty";
  EXPECT_LE(model.weights_DK.abs().max().item<double>(), 1e-15);
  EXPECT_DOUBLE_EQ(model.intercept_K.item<double>(), 1);
}

TEST(Ridge, ARowThatDeterminesItselfForbidsThePenalty) {
  // Three rows, two inputs: without a penalty each row lies on the plane through all three.
  const at::Tensor x = at::tensor({0.0, 1.0, 1.0, 0.0, 0.5, 0.1}, at::kDouble).reshape({3, 2});
  const at::Tensor y = at::tensor({0.0, 1.0, 1.0}, at::kDouble).unsqueeze(1);
  const RidgeProblem ridge(x, y);
  EXPECT_TRUE(std::isinf(ridge.leave_one_out_mse_K(0).item<double>()));
  EXPECT_EQ(ridge.choose_alphas(std::vector<double>{0, 1}, true)[0], 1);
}

TEST(Ridge, RefusesBadPenalties) {
  const RidgeProblem ridge(at::ones({2, 1}, at::kDouble), at::ones({2, 1}, at::kDouble));
  for (const std::vector<double>& grid : {std::vector<double>{}, std::vector<double>{1, -0.5}}) {
    try {
      ridge.choose_alphas(grid, true);
      ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kConfiguration);
    }
  }
}

// Published worked example: two models, two labels, eight samples, penalty 1; level 2 on in-sample
// level-1 output.
TEST(Ridge, TwoLevelsReproduceTheWorkedExample) {
  const at::Tensor y =
      at::tensor({1., 0., 1., 0., 0., 1., 0., 1., 1., 1., 0., 0., 1., 0., 0., 1.}, at::kDouble)
          .reshape({8, 2});
  const std::vector<at::Tensor> p = {
      at::tensor({.8, .3, .7, .2, .3, .9, .4, .6, .6, .7, .2, .3, .9, .1, .1, .8}, at::kDouble)
          .reshape({8, 2}),
      at::tensor({.6, .4, .9, .1, .2, .7, .5, .8, .7, .5, .3, .2, .6, .3, .3, .6}, at::kDouble)
          .reshape({8, 2})};
  const double weights[2][4] = {{.558780, -.224271, -.258419, .588211},
                                {.498705, -.172539, -.280117, .538472}};
  const double intercepts[2][2] = {{.3465893, .3253825}, {.3704663, .3461140}};
  std::vector<at::Tensor> q;
  for (size_t m = 0; m < 2; ++m) {
    const RidgeModel model = RidgeProblem(p[m], y).fit({1, 1});
    const at::Tensor flat = model.weights_DK.flatten();
    for (int64_t i = 0; i < 4; ++i) EXPECT_NEAR(flat[i].item<double>(), weights[m][i], 1e-6);
    for (int64_t i = 0; i < 2; ++i) {
      EXPECT_NEAR(model.intercept_K[i].item<double>(), intercepts[m][i], 1e-6);
    }
    q.push_back(predict(model, p[m]));
  }
  const double level2[2][3] = {{.486749, .350313, .0814688}, {.505749, .333189, .0805308}};
  const double first_rows[2][3] = {{.625373, .692603, .314590}, {.396193, .306716, .708217}};
  for (int64_t label = 0; label < 2; ++label) {
    const at::Tensor x = at::stack({q[0].select(1, label), q[1].select(1, label)}, 1);
    const RidgeModel model = RidgeProblem(x, y.select(1, label).unsqueeze(1)).fit({1});
    const at::Tensor z = predict(model, x);
    EXPECT_NEAR(model.weights_DK[0][0].item<double>(), level2[label][0], 1e-6);
    EXPECT_NEAR(model.weights_DK[1][0].item<double>(), level2[label][1], 1e-6);
    EXPECT_NEAR(model.intercept_K.item<double>(), level2[label][2], 1e-6);
    for (int64_t i = 0; i < 3; ++i) EXPECT_NEAR(z[i].item<double>(), first_rows[label][i], 1e-6);
  }
}

}  // namespace
}  // namespace baleen
