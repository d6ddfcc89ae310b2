#include "core/weights/state.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/nn/memory_format.h"
#include "core/nn/registry.h"

namespace baleen {
namespace {

std::shared_ptr<Backbone> make(int64_t num_outputs, int64_t in_channels = 3,
                               const std::string& name = "resnet18") {
  BackboneRegistry registry;
  register_backbones(registry);
  return registry.create({.name = name, .num_outputs = num_outputs, .in_channels = in_channels});
}

bool equal(const NamedTensors& a, const NamedTensors& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].first != b[i].first || !at::equal(a[i].second, b[i].second)) return false;
  }
  return true;
}

TEST(StateTest, CopiesAreContiguousAndIndependent) {
  const auto network = make(5);
  to_channels_last(*network);
  const NamedTensors state = state_of(*network), again = state_of(*network);
  EXPECT_EQ(state.size(), network->parameters().size() + network->buffers().size());
  EXPECT_EQ(state[0].first, "conv1.weight");
  for (const auto& [name, tensor] : state) {
    EXPECT_TRUE(tensor.is_contiguous()) << name;
    EXPECT_FALSE(tensor.requires_grad()) << name;
  }
  {
    at::NoGradGuard no_grad;
    for (at::Tensor& p : network->parameters()) p.add_(1.0);
    for (at::Tensor& b : network->buffers()) b.add_(1);
  }
  EXPECT_TRUE(equal(state, again));
  EXPECT_FALSE(equal(state, state_of(*network)));
}

TEST(StateTest, LoadKeepsLayoutAndIdentity) {
  const auto source = make(5), target = make(5);
  to_channels_last(*target);
  const at::Tensor weight = target->named_parameters()["layer2.0.conv1.weight"];
  const auto strides = weight.strides().vec();
  const LoadReport report = load_state(*target, state_of(*source), "memory");
  EXPECT_TRUE(equal(state_of(*source), state_of(*target)));
  EXPECT_EQ(weight.strides().vec(), strides);
  EXPECT_TRUE(weight.is_same(target->named_parameters()["layer2.0.conv1.weight"]));
  EXPECT_EQ(report.loaded.size(), state_of(*source).size());
  EXPECT_FALSE(report.head_is_fresh);
}

TEST(StateTest, HeadOfAnotherSizeStaysFreshAndIsReported) {
  const auto source = make(1000), target = make(17);
  const at::Tensor head = target->named_parameters()["fc.weight"].detach().clone();
  const LoadReport report = load_state(*target, state_of(*source), "memory", {.head_name = "fc"});
  EXPECT_TRUE(report.head_is_fresh);
  ASSERT_EQ(report.mismatched.size(), 2u);
  EXPECT_EQ(report.mismatched[0], "fc.weight: 1000x512 in the file, 17x512 here");
  EXPECT_NE(report.summary().find("the head starts fresh"), std::string::npos);
  EXPECT_TRUE(at::equal(target->named_parameters()["fc.weight"], head));
  EXPECT_TRUE(at::equal(target->named_parameters()["conv1.weight"],
                        source->named_parameters()["conv1.weight"]));
}

TEST(StateTest, WhatDoesNotFitIsNamedAndNothingIsLoaded) {
  const auto target = make(5);
  const NamedTensors before = state_of(*target);
  const auto refused = [&](const NamedTensors& tensors, const LoadOptions& options,
                           const std::string& part) {
    try {
      load_state(*target, tensors, "some.safetensors", options);
      ADD_FAILURE() << "accepted: " << part;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kData);
      EXPECT_NE(error.message().find(part), std::string::npos) << error.message();
      EXPECT_NE(error.message().find("some.safetensors"), std::string::npos);
    }
    EXPECT_TRUE(equal(before, state_of(*target)));
  };
  refused(state_of(*make(6)), {}, "fc.weight: 6x512 in the file, 5x512 here");
  refused(state_of(*make(5, 1)),
          {.head_name = "fc", .allow_missing = true, .allow_unexpected = true},
          "conv1.weight: 64x1x7x7 in the file, 64x3x7x7 here");
  NamedTensors lacking = state_of(*make(5));
  lacking.erase(lacking.begin());
  refused(lacking, {}, "missing: conv1.weight");
  NamedTensors more = state_of(*make(5));
  more.emplace_back("surplus", at::zeros({1}));
  refused(more, {}, "unexpected: surplus");
  refused(state_of(*make(5, 3, "simplenet")), {}, "and 117 more");
}

TEST(StateTest, AllowancesAreReported) {
  const auto target = make(5);
  NamedTensors tensors = state_of(*make(5));
  tensors.erase(tensors.begin());
  tensors.emplace_back("surplus", at::zeros({1}));
  const LoadReport report =
      load_state(*target, tensors, "memory", {.allow_missing = true, .allow_unexpected = true});
  EXPECT_EQ(report.missing, std::vector<std::string>{"conv1.weight"});
  EXPECT_EQ(report.unexpected, std::vector<std::string>{"surplus"});
  EXPECT_FALSE(report.head_is_fresh);
}

}  // namespace
}  // namespace baleen
