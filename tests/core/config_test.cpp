#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/config/decode.h"
#include "core/config/encode.h"

namespace baleen {

struct StageOptions {
  int64_t size_px = 64;
  int64_t epochs = 1;
  double lr = 0.1;
};
template <class Visitor>
void visit_fields(Visitor& v, StageOptions& o) {
  v.field("size_px", o.size_px, "side of the square images, pixels", config::at_least(8));
  v.field("epochs", o.epochs, "passes over the training set", config::required());
  v.field("lr", o.lr, "learning rate", config::between(0, 10));
}

struct FoldOptions {
  int64_t count = 5;
  std::string kind = "stratified";
  std::optional<std::string> group_column;
};
template <class Visitor>
void visit_fields(Visitor& v, FoldOptions& o) {
  v.field("count", o.count, "number of folds", config::at_least(2));
  v.field("kind", o.kind, "how samples are assigned",
          config::one_of({"plain", "stratified", "grouped"}));
  v.field("group_column", o.group_column, "column that keeps samples together");
}
void validate(FoldOptions& o, config::Problems& problems) {
  if (o.kind == "grouped" && !o.group_column) {
    problems.add("kind", "grouped folds need folds.group_column");
  }
}

struct SmallRecipe {
  std::string name;
  std::vector<std::string> backbones = {"resnet18"};
  std::vector<StageOptions> stages;
  FoldOptions folds;
  std::map<std::string, double> weights;
  std::optional<double> clip_norm;
  bool ema = false;
  uint64_t seed = 0;
};
template <class Visitor>
void visit_fields(Visitor& v, SmallRecipe& o) {
  v.field("name", o.name, "name of the run", config::required());
  v.field("backbones", o.backbones, "networks", config::one_of({"resnet18", "simplenet"}));
  v.field("stages", o.stages, "one training stage after another");
  v.field("folds", o.folds, "cross-validation");
  v.field("weights", o.weights, "weight per label", config::at_least(0));
  v.field("clip_norm", o.clip_norm, "largest norm of the gradient; empty: no clipping");
  v.field("ema", o.ema, "keep a moving average of the weights");
  v.field("seed", o.seed, "seed of every random stream");
}

namespace {

using ::testing::HasSubstr;

SmallRecipe decode_text(const std::string& text) {
  return config::decode<SmallRecipe>(config::Document::parse(text, "r.yaml"));
}

// The message of the error that decoding gives; empty when there is none.
std::string mistakes(const std::string& text, const std::vector<std::string>& overrides = {}) {
  try {
    config::Document document = config::Document::parse(text, "r.yaml");
    for (const std::string& assignment : overrides) document.set(assignment);
    config::decode<SmallRecipe>(document);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfiguration);
    return error.message();
  }
  return {};
}

std::string one_mistake(const std::string& text, const std::vector<std::string>& overrides = {}) {
  const std::string message = mistakes(text, overrides);
  const std::string head = "1 problem in the configuration:\n";
  EXPECT_THAT(message, ::testing::StartsWith(head));
  return message.size() > head.size() ? message.substr(head.size()) : message;
}

TEST(DecodeTest, ReadsEveryType) {
  const SmallRecipe recipe = decode_text(R"(
name: planet
backbones: [resnet18, simplenet]
stages:
  - {size_px: 64, epochs: 3}
  - size_px: 128
    epochs: 2
    lr: 1e-3
folds: {count: 3, kind: grouped, group_column: whale}
weights: {clear: 2, haze: 0.5}
clip_norm: 1
ema: true
seed: 18446744073709551615
)");
  EXPECT_EQ(recipe.name, "planet");
  EXPECT_EQ(recipe.backbones, (std::vector<std::string>{"resnet18", "simplenet"}));
  ASSERT_EQ(recipe.stages.size(), 2u);
  EXPECT_EQ(recipe.stages[0].epochs, 3);
  EXPECT_EQ(recipe.stages[0].lr, 0.1);
  EXPECT_EQ(recipe.stages[1].size_px, 128);
  EXPECT_EQ(recipe.stages[1].lr, 1e-3);
  EXPECT_EQ(recipe.folds.group_column, "whale");
  EXPECT_EQ(recipe.weights, (std::map<std::string, double>{{"clear", 2.0}, {"haze", 0.5}}));
  EXPECT_EQ(recipe.clip_norm, 1.0);
  EXPECT_TRUE(recipe.ema);
  EXPECT_EQ(recipe.seed, 18446744073709551615u);
}

TEST(DecodeTest, DefaultsStayWhereNothingIsSaid) {
  const SmallRecipe recipe = decode_text("name: x\nclip_norm:\n");
  EXPECT_EQ(recipe.backbones, std::vector<std::string>{"resnet18"});
  EXPECT_EQ(recipe.folds.count, 5);
  EXPECT_FALSE(recipe.clip_norm.has_value());
}

TEST(DecodeTest, FiveMistakesGiveFiveMessagesWithPositions) {
  EXPECT_EQ(mistakes(R"(name: planet
backbone: [resnet18]
folds:
  count: 1
  kind: stratifed
stages:
  - size_px: 64
    epochs: "three"
name: again
)"),
            "5 problems in the configuration:\n"
            "r.yaml:2:1: unknown key 'backbone'; did you mean 'backbones'?\n"
            "r.yaml:4:10: folds.count must be at least 2, found 1\n"
            "r.yaml:5:9: folds.kind must be one of plain, stratified, grouped, found 'stratifed'; "
            "did you mean 'stratified'?\n"
            "r.yaml:8:13: stages.0.epochs expects a whole number, found the text 'three'\n"
            "r.yaml:9:1: duplicate key 'name', first given at line 1");
}

TEST(DecodeTest, MissingKeysAreNamedWhereTheyBelong) {
  EXPECT_EQ(one_mistake("ema: true\n"), "r.yaml:1:1: missing key 'name'");
  EXPECT_EQ(one_mistake(""), "r.yaml:1:1: missing key 'name'");
  EXPECT_EQ(one_mistake("name: x\nstages:\n  - lr: 1\n"),
            "r.yaml:3:5: missing key 'stages.0.epochs'");
}

TEST(DecodeTest, UnknownKeysFarFromAnyListTheKnownOnes) {
  EXPECT_EQ(one_mistake("name: x\nfolds: {colour: red}\n"),
            "r.yaml:2:9: unknown key 'colour' in folds; known: count, kind, group_column");
}

TEST(DecodeTest, RefusesWhatOnlyLooksLikeTheType) {
  const std::string head = "name: x\n";
  EXPECT_EQ(one_mistake(head + "ema: yes"),
            "r.yaml:2:6: ema expects true or false, found the text 'yes'");
  EXPECT_EQ(one_mistake(head + "ema: 1"),
            "r.yaml:2:6: ema expects true or false, found the number 1");
  EXPECT_EQ(one_mistake(head + "folds: {count: 2.5}"),
            "r.yaml:2:16: folds.count expects a whole number, found the number 2.5");
  EXPECT_EQ(one_mistake(head + "folds: {count: 1e1}"),
            "r.yaml:2:16: folds.count expects a whole number, found the number 1e1");
  EXPECT_THAT(one_mistake(head + "folds: {count: 99999999999999999999}"),
              HasSubstr("must be from"));
  EXPECT_EQ(one_mistake(head + "seed: -1"),
            "r.yaml:2:7: seed must be from 0 to 18446744073709551615, found -1");
  EXPECT_EQ(one_mistake(head + "clip_norm: .nan"),
            "r.yaml:2:12: clip_norm expects a finite number, found the text '.nan'");
  EXPECT_EQ(one_mistake(head + "clip_norm: .inf"),
            "r.yaml:2:12: clip_norm expects a finite number, found the text '.inf'");
  EXPECT_THAT(one_mistake(head + "clip_norm: 1e999"), HasSubstr("doesn't fit"));
  EXPECT_THAT(one_mistake(head + "clip_norm: [1]"), HasSubstr("found a list"));
  EXPECT_THAT(one_mistake(head + "stages: {epochs: 1}"), HasSubstr("expects a list"));
  EXPECT_THAT(one_mistake(head + "folds:"), HasSubstr("found nothing (an empty value)"));
  EXPECT_THAT(one_mistake(head + "weights: {a: -1}"),
              HasSubstr("weights.a must be at least 0, found -1"));
  EXPECT_THAT(one_mistake(head + "backbones: [resnet81]"), HasSubstr("backbones.0 must be one of"));
  EXPECT_EQ(one_mistake("- a\n"),
            "r.yaml:1:1: the document expects a map (key: value), found a list");
}

TEST(DecodeTest, NumbersThatSmallestDoublesRoundToZeroAreRefused) {
  EXPECT_THAT(one_mistake("name: x\nclip_norm: 1e-999"), HasSubstr("doesn't fit"));
}

TEST(DecodeTest, CrossFieldChecksPointAtTheField) {
  EXPECT_EQ(one_mistake("name: x\nfolds:\n  count: 3\n  kind: grouped\n"),
            "r.yaml:4:3: grouped folds need folds.group_column");
}

TEST(DecodeTest, CrossFieldChecksWaitForASoundStruct) {
  EXPECT_THAT(one_mistake("name: x\nfolds: {count: 1, kind: grouped}\n"), HasSubstr("at least 2"));
}

TEST(DecodeTest, BrokenYamlIsReportedWithItsPlace) {
  EXPECT_THAT(one_mistake("name: [a\n"), ::testing::StartsWith("r.yaml:"));
  EXPECT_THAT(one_mistake("name: x\n---\nname: y\n"), HasSubstr("second document"));
  EXPECT_THAT(one_mistake("name: !!python/object x\n"),
              HasSubstr("r.yaml:1:7: tags aren't supported"));
}

TEST(DecodeTest, AliasesAreCopiesAndCannotExplode) {
  const SmallRecipe recipe =
      decode_text("name: x\nstages:\n  - &s {size_px: 32, epochs: 2}\n  - *s\n");
  ASSERT_EQ(recipe.stages.size(), 2u);
  EXPECT_EQ(recipe.stages[1].size_px, 32);
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 9; ++i) {
    bomb += fmt::format("a{0}: &a{0} [*a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}]\n", i,
                        i - 1);
  }
  EXPECT_THAT(one_mistake(bomb), HasSubstr("more than 100000 values"));
}

TEST(EncodeTest, RoundTripsExactly) {
  SmallRecipe recipe = decode_text("name: x\n");
  recipe.name = "a: \"quoted\" # text\n\twith ünï, 1";
  recipe.backbones = {};
  recipe.stages = {{.size_px = 8, .epochs = 1, .lr = 0.1 + 0.2},
                   {.size_px = 9, .epochs = 2, .lr = 1e-300}};
  recipe.weights = {{"yes", 1.0 / 3.0}, {"2", 5e-324}, {"a b", 1e300}};
  recipe.clip_norm = 1.0;
  recipe.seed = ~uint64_t{0};
  for (const bool with_docs : {false, true}) {
    const std::string yaml = config::to_yaml(recipe, with_docs);
    SCOPED_TRACE(yaml);
    EXPECT_EQ(config::to_json(decode_text(yaml)), config::to_json(recipe));
    EXPECT_EQ(config::to_yaml(decode_text(yaml), with_docs), yaml);
  }
  EXPECT_EQ(decode_text(config::to_json(recipe)).weights, recipe.weights);
}

TEST(EncodeTest, TextsThatLookLikeOtherTypesStayTexts) {
  SmallRecipe recipe;
  for (const char* name : {"",     "true", "null", "~",   "1",    "1e3",         "-",   "- a", "[x",
                           "a: b", "#c",   " a ",  "yes", "0x10", ".inf",        "&a",  "*a",  "!t",
                           "%d",   "@x",   "|",    ">",   "a#b",  "multi\nline", "\x01"}) {
    recipe.name = name;
    const std::string yaml = config::to_yaml(recipe);
    EXPECT_EQ(decode_text(yaml).name, name) << yaml;
  }
}

TEST(EncodeTest, PrintsForPeople) {
  SmallRecipe recipe;
  recipe.name = "planet";
  recipe.stages = {{.size_px = 64, .epochs = 3}};
  EXPECT_EQ(config::to_yaml(recipe),
            "name: planet\n"
            "backbones: [resnet18]\n"
            "stages:\n"
            "  - size_px: 64\n"
            "    epochs: 3\n"
            "    lr: 0.1\n"
            "folds:\n"
            "  count: 5\n"
            "  kind: stratified\n"
            "  group_column: null\n"
            "weights: {}\n"
            "clip_norm: null\n"
            "ema: false\n"
            "seed: 0\n");
  EXPECT_THAT(config::to_yaml(recipe, true), HasSubstr("  count: 5  # number of folds\n"));
}

TEST(EncodeTest, TheHashFollowsTheContentAlone) {
  const std::string hash = config::config_hash(decode_text("name: x\nema: false\nclip_norm: 2\n"));
  EXPECT_EQ(hash.size(), 32u);
  EXPECT_EQ(hash, config::config_hash(decode_text("{clip_norm: 2.0, name: 'x'}")));
  EXPECT_NE(hash, config::config_hash(decode_text("{clip_norm: 2.0000000000000004, name: x}")));
}

TEST(EncodeTest, NumbersThatCannotBeWrittenAreRefused) {
  SmallRecipe recipe;
  recipe.clip_norm = std::numeric_limits<double>::infinity();
  EXPECT_THROW(config::to_yaml(recipe), Error);
}

}  // namespace
}  // namespace baleen
