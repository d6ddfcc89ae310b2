// Baleen -> Python -> Baleen for every registered network: safetensors.torch.load_file, then
// torchvision's load_state_dict(strict=True) where it has the network, saved there and read here.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "core/weights/pretrained.h"
#include "core/weights/safetensors.h"
#include "core/weights/state.h"
#include "tests/parity/oracle.h"
#include "tests/support/backbones.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

constexpr int64_t kOutputs = 5;

/// Networks that torchvision does not have. A name that is neither here nor in torchvision fails
/// the test: whoever adds a network decides which it is.
const std::set<std::string>& without_torchvision() {
  static const std::set<std::string> kNames{
      "bninception",       "box_regressor", "conv4",           "gapnet",          "piotte",
      "seresnext50_32x4d", "simplenet",     "simplenet_small", "simplenet_cifar", "simplenet64"};
  return kNames;
}

/// No weight is where its initialisation put it, and none repeats.
void scramble(torch::nn::Module& network) {
  const at::NoGradGuard no_grad;
  for (at::Tensor& tensor : network.parameters()) tensor.normal_();
  for (at::Tensor& tensor : network.buffers()) {
    if (tensor.is_floating_point()) {
      tensor.uniform_(0.5, 1.5);
    } else {
      tensor.fill_(1234567);
    }
  }
}

bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == b.scalar_type() && a.sizes() == b.sizes() &&
         std::memcmp(a.contiguous().const_data_ptr(), b.contiguous().const_data_ptr(),
                     a.nbytes()) == 0;
}

TEST(RoundTripTest, EveryNetworkComesBackFromPythonBitForBit) {
  const BackboneRegistry& registry = testing::all_backbones();
  std::set<std::string> known;
  for (const BackboneInfo& info : registry.list()) known.insert(info.name);
  int64_t num_networks = 0, num_strict = 0;
  for (const BackboneInfo& info : testing::tested_backbones()) {
    SCOPED_TRACE(info.name);
    ++num_networks;
    // One network at a time: all of them together would take gigabytes of disk.
    const testing::TemporaryDirectory directory;
    at::manual_seed(21);
    BackboneOptions options;
    options.name = info.name;
    options.num_outputs = kOutputs;
    const auto network = registry.create(options);
    scramble(*network);
    const NamedTensors state = state_of(*network);
    const bool torchvision = !without_torchvision().contains(info.name);
    const nlohmann::json settings{
        {"name", info.name}, {"num_outputs", kOutputs}, {"torchvision", torchvision}};
    write_safetensors(directory / "case.in.safetensors", state, {{"settings", settings.dump()}});
    BALEEN_RUN_ORACLE("round_trip.py", directory.path());
    num_strict += torchvision;

    const SafetensorsFile back(directory / "case.out.safetensors");
    EXPECT_EQ(back.entries().size(), state.size());
    for (const auto& [name, tensor] : state)
      EXPECT_TRUE(same_bits(back.tensor(name), tensor)) << name;
    const auto again = registry.create(options);
    const LoadReport report = load_pretrained(*again, directory / "case.out.safetensors");
    EXPECT_EQ(report.loaded.size(), state.size()) << report.summary();
    const NamedTensors loaded = state_of(*again);
    for (size_t i = 0; i < state.size(); ++i) {
      EXPECT_EQ(loaded[i].first, state[i].first);
      EXPECT_TRUE(same_bits(loaded[i].second, state[i].second)) << state[i].first;
    }
  }
  for (const std::string& name : without_torchvision())
    EXPECT_TRUE(known.contains(name)) << name << " is no network any more";
  std::printf("[  NETWORKS] %ld, %ld of them strictly in torchvision\n",
              static_cast<long>(num_networks), static_cast<long>(num_strict));
}

}  // namespace
}  // namespace baleen
