// Published weights by name: torchvision's state_dicts (random weights), saved as PyTorch saves
// them, converted by launch/convert_weights.py, loaded here, and run on the same images.
#include "core/weights/pretrained.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/nn/registry.h"
#include "tests/parity/oracle.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class PretrainedTest : public ::testing::Test {
 protected:
  PretrainedTest() { register_backbones(registry_); }
  std::shared_ptr<Backbone> make(const std::string& name, int64_t num_outputs,
                                 int64_t in_channels = 3) {
    BackboneOptions options;
    options.name = name;
    options.num_outputs = num_outputs;
    options.in_channels = in_channels;
    return registry_.create(options);
  }
  bool registered(const std::string& name) const {
    for (const BackboneInfo& info : registry_.list()) {
      if (info.name == name) return true;
    }
    return false;
  }
  std::filesystem::path save(const NamedTensors& tensors,
                             const std::map<std::string, std::string>& metadata = {}) const {
    write_safetensors(directory_ / "w.safetensors", tensors, metadata);
    return directory_ / "w.safetensors";
  }
  void expect_refusal(Backbone& network, const NamedTensors& tensors,
                      const ::testing::Matcher<std::string>& message) {
    const NamedTensors before = state_of(network);
    try {
      load_pretrained(network, save(tensors));
      ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kData);
      EXPECT_THAT(error.message(), AllOf(HasSubstr("w.safetensors"), message));
    }
    const NamedTensors after = state_of(network);
    for (size_t i = 0; i < before.size(); ++i)
      EXPECT_TRUE(at::equal(before[i].second, after[i].second)) << before[i].first;
  }
  BackboneRegistry registry_;
  testing::TemporaryDirectory directory_;
};

TEST_F(PretrainedTest, PublishedFilesInAllSpellingsAreTheSameFunction) {
  BALEEN_RUN_ORACLE("published_weights.py", directory_.path());
  nlohmann::json cases;
  std::ifstream(directory_ / "cases.json") >> cases;
  int64_t num_compared = 0;
  for (const auto& item : cases) {
    const auto name = item["network"].get<std::string>();
    const auto file = item["file"].get<std::string>();
    SCOPED_TRACE(file);
    if (!registered(name)) {
      std::printf("[  LEFT OUT] %s: there is no %s\n", file.c_str(), name.c_str());
      continue;
    }
    const auto network = make(name, item["num_outputs"]);
    network->to(at::kDouble);
    network->eval();
    const LoadReport report = load_pretrained(*network, directory_ / file);
    EXPECT_TRUE(report.missing.empty()) << report.summary();
    EXPECT_THAT(report.summary(), HasSubstr(item["says"].get<std::string>()));
    EXPECT_EQ(report.num_missing_counters > 0, item["old"].get<bool>());
    const at::NoGradGuard no_grad;
    const SafetensorsFile answers(directory_ / (name + ".answers"));
    const at::Tensor expected = answers.tensor("logits");
    const at::Tensor actual = network->forward(answers.tensor("images"));
    const double worst = ((actual - expected).abs().max() / expected.abs().max()).item<double>();
    EXPECT_LE(worst, 1e-9);
    std::printf("[  WORST   ] %s: %.2e; %s\n", file.c_str(), worst, report.summary().c_str());
    ++num_compared;
  }
  EXPECT_GE(num_compared, 5);
}

TEST_F(PretrainedTest, AHeadOfAnotherSizeStaysFreshAndIsSaid) {
  const auto network = make("resnet18", 17);
  const at::Tensor head = network->named_parameters()["fc.weight"].detach().clone();
  const LoadReport report = load_pretrained(*network, save(state_of(*make("resnet18", 1000))));
  EXPECT_TRUE(report.head_is_fresh);
  EXPECT_THAT(report.summary(),
              AllOf(HasSubstr("fc.weight: 1000x512 in the file, 17x512 here"),
                    HasSubstr("the head starts fresh"), ::testing::Not(HasSubstr("\n"))));
  EXPECT_TRUE(at::equal(network->named_parameters()["fc.weight"], head));
}

TEST_F(PretrainedTest, ForeignFilesAreRefusedWithTheNearestNames) {
  const auto network = make("resnet18", 5);
  expect_refusal(*network,
                 {{"blocks.0.attn.qkv.weight", at::zeros({3})}, {"pos_embed", at::zeros({3})}},
                 AllOf(HasSubstr("no tensor"), HasSubstr("blocks.0.attn.qkv.weight"),
                       HasSubstr("nearest here: '")));
  NamedTensors misspelt = state_of(*network);
  misspelt[0].first = "konv1.weight";
  expect_refusal(*network, misspelt,
                 AllOf(HasSubstr("missing: conv1.weight"), HasSubstr("unexpected: konv1.weight"),
                       HasSubstr("'conv1.weight' for 'konv1.weight'")));
  expect_refusal(*network, state_of(*make("resnet34", 5)), HasSubstr("unexpected: layer1.2.bn1"));
  NamedTensors twice = state_of(*network);
  twice.emplace_back("module.conv1.weight", twice[0].second);
  try {
    load_pretrained(*network, save(twice));
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("both mean"), HasSubstr("w.safetensors")));
  }
  NamedTensors quantised = state_of(*network);
  quantised[0].second = quantised[0].second.to(at::kChar);
  expect_refusal(*network, quantised, HasSubstr("conv1.weight: Char in the file, Float here"));
  EXPECT_THROW(load_pretrained(*network, directory_ / "missing.safetensors"), Error);
}

TEST_F(PretrainedTest, HalfPrecisionAndDimensionsOfOneAreConverted) {
  const auto source = make("resnet18", 5), network = make("resnet18", 5);
  NamedTensors tensors = state_of(*source);
  for (auto& [name, tensor] : tensors) {
    if (name == "bn1.weight") tensor = tensor.view({1, 64, 1, 1});
    if (name == "fc.weight") tensor = tensor.view({5, 512, 1, 1});
    if (tensor.is_floating_point()) tensor = tensor.to(at::kBFloat16);
  }
  const LoadReport report = load_pretrained(*network, save(tensors));
  EXPECT_THAT(report.summary(), HasSubstr("dimensions of size 1 were added or left out in 2"));
  EXPECT_FALSE(report.head_is_fresh);
  EXPECT_TRUE(at::equal(network->named_parameters()["fc.weight"],
                        source->named_parameters()["fc.weight"].to(at::kBFloat16).to(at::kFloat)));
}

}  // namespace
}  // namespace baleen
