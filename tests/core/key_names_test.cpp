#include "core/weights/key_names.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"

namespace baleen {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// The names after mapping, in the file's order.
std::vector<std::string> mapped(const std::vector<std::string>& file,
                                const std::vector<std::string>& network,
                                const std::string& head = "fc",
                                std::vector<std::string>* notes = nullptr) {
  NamedTensors tensors;
  for (const std::string& name : file) tensors.emplace_back(name, at::zeros({1}));
  const MappedNames result = map_key_names(tensors, network, head);
  if (notes) *notes = result.notes;
  std::vector<std::string> names;
  for (const auto& [name, tensor] : result.tensors) names.push_back(name);
  return names;
}

TEST(KeyNamesTest, OwnNamesStayAndSayNothing) {
  std::vector<std::string> notes;
  EXPECT_THAT(mapped({"conv1.weight", "fc.bias"}, {"conv1.weight", "fc.bias"}, "fc", &notes),
              ElementsAre("conv1.weight", "fc.bias"));
  EXPECT_TRUE(notes.empty());
}

TEST(KeyNamesTest, WrappersPrefixesComeOffInAnyDepth) {
  std::vector<std::string> notes;
  EXPECT_THAT(
      mapped({"module.a.weight", "module.b.weight"}, {"a.weight", "b.weight"}, "fc", &notes),
      ElementsAre("a.weight", "b.weight"));
  EXPECT_THAT(notes, ElementsAre("prefix 'module.' taken off 2 names"));
  EXPECT_THAT(mapped({"_orig_mod.module.model.backbone.a.weight"}, {"a.weight"}),
              ElementsAre("a.weight"));
  // A network's own module of that name is no wrapper.
  EXPECT_THAT(mapped({"backbone.a.weight", "module.backbone.b"},
                     {"backbone.a.weight", "a.weight", "backbone.b"}),
              ElementsAre("backbone.a.weight", "backbone.b"));
}

TEST(KeyNamesTest, OldDenseNetNamesAreTheNewOnes) {
  const std::string layer = "features.denseblock1.denselayer6.";
  std::vector<std::string> notes;
  EXPECT_THAT(mapped({layer + "norm.1.running_mean", layer + "conv.2.weight", "features.norm0.bias",
                      "module." + layer + "norm.2.weight"},
                     {layer + "norm1.running_mean", layer + "conv2.weight", "features.norm0.bias",
                      layer + "norm2.weight"},
                     "classifier", &notes),
              ElementsAre(layer + "norm1.running_mean", layer + "conv2.weight",
                          "features.norm0.bias", layer + "norm2.weight"));
  EXPECT_THAT(notes[0], HasSubstr("'norm.1' read as 'norm1' in 1 names"));
}

TEST(KeyNamesTest, TheLastLayerHasManyNames) {
  for (const std::string name : {"fc", "classifier", "last_linear", "head", "head.fc"}) {
    for (const std::string here : {"fc", "classifier", "last_linear"}) {
      EXPECT_THAT(mapped({name + ".weight", "model." + name + ".bias"},
                         {here + ".weight", here + ".bias"}, here),
                  ElementsAre(here + ".weight", here + ".bias"));
    }
  }
  // Inception's other classifier has a layer of that name, too.
  EXPECT_THAT(
      mapped({"AuxLogits.fc.weight", "last_linear.weight"}, {"AuxLogits.fc.weight", "fc.weight"}),
      ElementsAre("AuxLogits.fc.weight", "fc.weight"));
}

TEST(KeyNamesTest, OtherSpellingsOfBlocks) {
  EXPECT_THAT(mapped({"layer1.0.se.fc1.weight", "bn.gamma", "bn.beta", "bn.moving_mean",
                      "bn.moving_variance"},
                     {"layer1.0.se_module.fc1.weight", "bn.weight", "bn.bias", "bn.running_mean",
                      "bn.running_var"}),
              ElementsAre("layer1.0.se_module.fc1.weight", "bn.weight", "bn.bias",
                          "bn.running_mean", "bn.running_var"));
  EXPECT_THAT(mapped({"x.gamma_ray"}, {"x.weight_ray"}), ElementsAre("x.gamma_ray"));
}

TEST(KeyNamesTest, TheUnknownKeepsItsNameAndTwoForOneAreRefused) {
  EXPECT_THAT(mapped({"module.nothing", "epoch"}, {"a"}), ElementsAre("module.nothing", "epoch"));
  try {
    mapped({"a.weight", "module.a.weight"}, {"a.weight"});
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kData);
    EXPECT_THAT(error.message(), HasSubstr("'a.weight' and 'module.a.weight' both mean"));
  }
}

}  // namespace
}  // namespace baleen
