// The box regressor, its loss and its metric, against a rebuild in PyTorch and torchvision.
#include "core/nn/box_regressor.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/losses/registry.h"
#include "core/metrics/boxes.h"
#include "core/nn/batch_norm.h"
#include "core/weights/safetensors.h"
#include "core/weights/state.h"
#include "tests/parity/oracle.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

std::shared_ptr<BoxRegressor> network_of(double dropout = 0.0) {
  at::manual_seed(3);
  auto network = std::make_shared<BoxRegressor>(BackboneOptions{
      .name = "box_regressor", .num_outputs = 4, .in_channels = 1, .dropout = dropout});
  network->to(at::kDouble);
  const at::NoGradGuard no_grad;
  for (auto& item : network->named_parameters())
    if (item.value().dim() == 1) item.value().add_(at::randn_like(item.value()) * 0.1);
  for (auto& item : network->named_buffers())
    if (item.key().ends_with("running_var")) item.value().uniform_(0.5, 2.0);
  return network;
}

TEST(BoxRegressorTest, PassesGradientsAndGatheredStatisticsArePyTorchs) {
  testing::TemporaryDirectory directory;
  const std::vector<std::pair<int64_t, int64_t>> sizes = {{128, 128}, {33, 47}, {64, 90}};
  const auto images_of = [](const std::pair<int64_t, int64_t>& size) {
    at::manual_seed(size.first);
    return at::randn({4, 1, size.first, size.second}, at::kDouble);
  };
  const at::Tensor targets = at::arange(16, at::kDouble).reshape({4, 4});
  for (const auto& size : sizes) {
    NamedTensors tensors = {{"images", images_of(size)}, {"targets", targets}};
    for (auto& [name, value] : state_of(*network_of()))
      tensors.emplace_back("weight/" + name, value);
    write_safetensors(directory / (std::to_string(size.first) + ".in.safetensors"), tensors, {});
  }
  at::manual_seed(5);
  const at::Tensor boxes = at::rand({200, 4}, at::kDouble).cumsum(1);
  const at::Tensor others = boxes + 0.3 * at::randn({200, 4}, at::kDouble);
  const auto ordered = [](const at::Tensor& b) {
    const at::Tensor low = at::minimum(b.narrow(1, 0, 2), b.narrow(1, 2, 2));
    return at::cat({low, at::maximum(b.narrow(1, 0, 2), b.narrow(1, 2, 2))}, 1);
  };
  write_safetensors(directory / "iou.in.safetensors",
                    {{"boxes", ordered(boxes)}, {"others", ordered(others)}}, {});
  BALEEN_RUN_ORACLE("box_regressor.py", directory.path());

  LossRegistry losses;
  register_losses(losses);
  const auto loss = losses.create({.kind = "box_mse"}, 4);
  double worst = 0;
  for (const auto& size : sizes) {
    const SafetensorsFile answers(directory / (std::to_string(size.first) + ".out.safetensors"));
    const auto check = [&](const std::string& name, const at::Tensor& actual) {
      const at::Tensor expected = answers.tensor(name).to(at::kDouble);
      const double scale = std::max(1e-6, expected.abs().max().item<double>());
      const double difference =
          (actual.detach().to(at::kDouble) - expected).abs().max().item<double>() / scale;
      EXPECT_LE(difference, 1e-9) << size.first << ' ' << name;
      worst = std::max(worst, difference);
    };
    const auto network = network_of();
    const at::Tensor images = images_of(size);
    int64_t count = 0;
    for (const at::Tensor& parameter : network->parameters()) count += parameter.numel();
    EXPECT_EQ(count, answers.tensor("parameters").item<int64_t>());
    {
      const at::NoGradGuard no_grad;
      network->eval();
      check("eval", network->forward(images));
      network->train();
      {
        const GatheredStatistics gathered(*network);
        for (const at::Tensor& part : images.chunk(2)) network->forward(part);
      }
      for (const auto& item : network->named_buffers())
        check("gathered/" + item.key(), item.value());
      EXPECT_TRUE(network->is_training());
    }
    const at::Tensor sum = loss->sum(network->forward(images), targets);
    sum.backward();
    check("loss", sum);
    for (const auto& item : network->named_parameters())
      check("grad/" + item.key(), item.value().grad());
  }
  std::printf("largest relative difference from PyTorch: %.1e\n", worst);
  const at::Tensor iou = box_iou(ordered(boxes), ordered(others));
  const SafetensorsFile answers(directory / "iou.out.safetensors");
  EXPECT_LE((iou - answers.tensor("iou")).abs().max().item<double>(), 1e-12);
  EXPECT_GT((iou > 0).sum().item<int64_t>(), 50);
}

TEST(BoxRegressorTest, IntersectionOverUnionInClosedForm) {
  const at::Tensor box = at::tensor({0.0, 0.0, 4.0, 2.0}).unsqueeze(0);
  const auto iou = [&](std::vector<double> other) {
    return box_iou(box, at::tensor(other, at::kDouble).unsqueeze(0)).item<double>();
  };
  EXPECT_DOUBLE_EQ(iou({0, 0, 4, 2}), 1.0);
  EXPECT_DOUBLE_EQ(iou({2, 0, 6, 2}), 4.0 / 12.0);
  EXPECT_DOUBLE_EQ(iou({1, 0.5, 2, 1.5}), 1.0 / 8.0);
  EXPECT_DOUBLE_EQ(iou({4, 0, 8, 2}), 0.0) << "touching";
  EXPECT_DOUBLE_EQ(iou({5, 5, 6, 6}), 0.0);
  EXPECT_DOUBLE_EQ(iou({4, 2, 0, 0}), 0.0) << "corners out of order";
  EXPECT_DOUBLE_EQ(box_iou(at::zeros({1, 4}), at::zeros({1, 4})).item<double>(), 0.0);
}

TEST(BoxRegressorTest, DropoutRestsWhileStatisticsAreGatheredAndMomentumComesBack) {
  const at::NoGradGuard no_grad;
  const auto network = network_of(0.5);
  const at::Tensor images = at::randn({8, 1, 40, 40}, at::kDouble);
  network->train();
  EXPECT_FALSE(at::equal(network->forward(images), network->forward(images))) << "dropout";
  std::vector<at::Tensor> means;
  for (int i = 0; i < 2; ++i) {
    const GatheredStatistics gathered(*network);
    network->forward(images);
    means.push_back(network->named_buffers()["block5.norm.running_mean"].clone());
  }
  EXPECT_TRUE(at::equal(means[0], means[1])) << "a function of weights and images alone";
  const at::Tensor before = network->named_buffers()["norm1.running_mean"].clone();
  network->forward(images + 1);
  const at::Tensor moved = network->named_buffers()["norm1.running_mean"] - before;
  EXPECT_LT(moved.abs().max().item<double>(), 0.1) << "Keras' momentum of 0.99 again";
  EXPECT_GT(moved.abs().max().item<double>(), 0.0);
}

TEST(BoxRegressorTest, CornersComeOutInOrderAndOtherLossesAreRefused) {
  LossRegistry losses;
  register_losses(losses);
  const auto loss = losses.create({.kind = "box_mse"}, 4);
  const at::Tensor box = loss->probabilities(at::tensor({5.0, 1.0, 2.0, 7.0}).unsqueeze(0));
  EXPECT_TRUE(at::equal(box, at::tensor({2.0, 1.0, 5.0, 7.0}).unsqueeze(0)));
  EXPECT_THROW(losses.create({.kind = "box_mse"}, 17), Error);
  EXPECT_THROW(losses.check_targets("bce", LossTargets::kBoxes), Error);
  EXPECT_THROW(losses.check_targets("box_mse", LossTargets::kLabels), Error);
  EXPECT_NO_THROW(losses.check_targets("box_mse", LossTargets::kBoxes));
}

}  // namespace
}  // namespace baleen
