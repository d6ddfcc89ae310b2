// The U-Net and its loss against a rebuild in PyTorch.
#include "core/nn/unet.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/losses/registry.h"
#include "core/weights/safetensors.h"
#include "core/weights/state.h"
#include "tests/parity/oracle.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

std::shared_ptr<UNet> network_of(int64_t channels) {
  at::manual_seed(3);
  auto network = std::make_shared<UNet>(BackboneOptions{.name = "unet", .in_channels = channels});
  network->to(at::kDouble);
  const at::NoGradGuard no_grad;
  for (auto& item : network->named_parameters())
    if (item.value().dim() == 1) item.value().add_(at::randn_like(item.value()) * 0.1);
  for (auto& item : network->named_buffers())
    if (item.key().ends_with("running_var")) item.value().uniform_(0.5, 2.0);
  return network;
}

struct Case {
  int64_t channels, height, width;
  at::Tensor images() const {
    at::manual_seed(height);
    return at::randn({3, channels, height, width}, at::kDouble);
  }
  at::Tensor targets() const {
    at::manual_seed(height + 1);
    at::Tensor masks = at::rand({3, height * width}, at::kDouble).gt(0.8).to(at::kDouble);
    masks[2].zero_();  // an empty one
    return masks;
  }
};

TEST(UNetTest, PassesAndLossArePyTorchs) {
  testing::TemporaryDirectory directory;
  const std::vector<Case> cases = {{3, 64, 64}, {1, 37, 50}};
  for (const Case& c : cases) {
    NamedTensors tensors = {{"images", c.images()}, {"targets", c.targets()}};
    for (auto& [name, value] : state_of(*network_of(c.channels)))
      tensors.emplace_back("weight/" + name, value);
    write_safetensors(directory / (std::to_string(c.height) + ".in.safetensors"), tensors, {});
  }
  BALEEN_RUN_ORACLE("unet.py", directory.path());
  LossRegistry losses;
  register_losses(losses);
  const auto loss = losses.create({.kind = "bce_dice", .parameters = {{"weight", 0.7}}}, 1);
  double worst = 0;
  for (const Case& c : cases) {
    const SafetensorsFile answers(directory / (std::to_string(c.height) + ".out.safetensors"));
    const auto check = [&](const std::string& name, const at::Tensor& actual) {
      const at::Tensor expected = answers.tensor(name);
      ASSERT_EQ(actual.sizes(), expected.sizes()) << name;
      const double difference = (actual.detach() - expected).abs().max().item<double>() /
                                expected.abs().max().item<double>();
      EXPECT_LE(difference, 1e-9) << c.height << ' ' << name;
      worst = std::max(worst, difference);
    };
    const auto network = network_of(c.channels);
    network->eval();
    {
      const at::NoGradGuard no_grad;
      check("eval", network->forward(c.images()));
    }
    network->train();
    const at::Tensor sum = loss->sum(network->forward(c.images()), c.targets());
    sum.backward();
    check("loss", sum);
    for (const auto& item : network->named_parameters())
      check("grad/" + item.key(), item.value().grad());
  }
  std::printf("largest relative difference from PyTorch: %.1e\n", worst);
}

TEST(UNetTest, AnswersForEveryPixelFromItsSmallestSizeOnAndNamesItsParts) {
  const at::NoGradGuard no_grad;
  const auto network = network_of(1);
  for (const int64_t size : {16, 17, 31, 48})
    EXPECT_EQ(network->forward(at::randn({2, 1, size, size + 3}, at::kDouble)).sizes(),
              at::IntArrayRef({2, size * (size + 3)}));
  EXPECT_THROW(network->forward(at::randn({1, 1, 15, 40}, at::kDouble)), Error);
  const auto maps = network->features(at::randn({1, 1, 32, 32}, at::kDouble));
  for (size_t m = 0; m < maps.size(); ++m) {
    EXPECT_EQ(maps[m].size(1), network->stage_channels()[m]);
    EXPECT_EQ(maps[m].size(2), 32 >> m);
  }
  EXPECT_TRUE(network->named_modules().contains(network->stem_name()));
  EXPECT_TRUE(network->named_modules().contains(network->head_name()));
}

}  // namespace
}  // namespace baleen
