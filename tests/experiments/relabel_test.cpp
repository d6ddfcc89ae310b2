// Lists of labels: what is proposed, in which order, and how such lists are read back.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <fstream>

#include "experiments/label_list.h"
#include "experiments/relabel/proposals.h"
#include "tests/data/expect_error.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

using ::baleen::testing::expect_error;

const std::vector<std::string> kLabels = {"clear", "water", "road"};

TEST(ProposalsTest, ClassesAreAcceptedByTheirOwnThreshold) {
  const at::Tensor p =
      at::tensor({.97, .02, .01, .1, .85, .05, .2, .2, .6}, at::kDouble).view({3, 3});
  const auto list = propose_labels({"a", "b", "c"}, p, kLabels, TargetKind::kSingleClass,
                                   {.threshold = .95, .label_thresholds = {{"water", .8}}});
  ASSERT_EQ(list.size(), 3u);
  EXPECT_EQ(list[0].id, "c") << "the most doubtful comes first";
  EXPECT_EQ(list[0].labels, RowLabels{2});
  EXPECT_FALSE(list[0].accepted);
  EXPECT_EQ(list[1].id, "b");
  EXPECT_TRUE(list[1].accepted);
  EXPECT_TRUE(list[2].accepted);
  EXPECT_DOUBLE_EQ(list[2].confidence, .97);
}

TEST(ProposalsTest, AllLabelsMustBeCertain) {
  const at::Tensor p =
      at::tensor({.99, .01, .97, .99, .01, .6, .99, .2, .98}, at::kDouble).view({3, 3});
  const auto list = propose_labels({"a", "b", "c"}, p, kLabels, TargetKind::kMultiLabel,
                                   {.threshold = .95, .label_thresholds = {{"water", .75}}});
  EXPECT_EQ(list[0].id, "b");
  EXPECT_EQ(list[0].labels, (RowLabels{0, 2}));
  EXPECT_DOUBLE_EQ(list[0].confidence, .6);
  EXPECT_FALSE(list[0].accepted);
  EXPECT_TRUE(list[1].accepted) << "0.8 that there is no water is enough for water";
  EXPECT_TRUE(list[2].accepted);
  expect_error(ErrorKind::kConfiguration, {"wter", "water"}, [&] {
    (void)propose_labels({"a"}, p.narrow(0, 0, 1), kLabels, TargetKind::kMultiLabel,
                         {.label_thresholds = {{"wter", .5}}});
  });
}

TEST(ProposalsTest, ContradictedLabelsAreDoubtedMostCertainFirst) {
  OofData data;
  data.target_kind = TargetKind::kMultiLabel;
  data.ids = {"right", "wrong", "unsure", "worse"};
  data.labels = kLabels;
  data.targets = at::tensor({1., 0., 0., 1., 1., 0., 1., 1., 0., 0., 0., 1.}).view({4, 3});
  data.oof_MNK = at::tensor({.9, .1, .1, .9, .03, .1, .9, .3, .1, .99, .1, .9}).view({1, 4, 3});
  const auto list = suggest_corrections(data, {.threshold = .95, .accept_corrections = true}, 10);
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0].id, "worse");
  EXPECT_EQ(list[0].labels, (RowLabels{0, 2}));
  EXPECT_EQ(list[0].given, RowLabels{2});
  EXPECT_EQ(list[1].id, "wrong");
  EXPECT_EQ(list[1].labels, RowLabels{0});
  EXPECT_TRUE(list[1].accepted);
  EXPECT_EQ(suggest_corrections(data, {.threshold = .95}, 1).size(), 1u);
  EXPECT_FALSE(suggest_corrections(data, {.threshold = .95}, 1)[0].accepted);
}

TEST(LabelListTest, WhatIsWrittenIsReadBack) {
  const testing::TemporaryDirectory directory;
  const auto file = directory / "list.csv";
  for (const auto& names : {kLabels, std::vector<std::string>{"ankle boot", "bag, big", "coat"}}) {
    std::vector<Proposal> proposals = {
        {"x,1", {0, 1}, .5, true, {}}, {"y", {}, .5, false, {}}, {"z", {}, .9, true, {}}};
    std::ofstream(file) << proposals_csv(proposals, names, TargetKind::kMultiLabel, false);
    const auto list = read_label_list(file, names, TargetKind::kMultiLabel);
    ASSERT_EQ(list.size(), 2u) << "only what is accepted";
    EXPECT_EQ(list[0].id, "x,1");
    EXPECT_EQ(list[0].labels, (RowLabels{0, 1}));
    EXPECT_TRUE(list[1].labels.empty());
    proposals = {{"x", {1}, .5, true, {0}}};
    std::ofstream(file) << proposals_csv(proposals, names, TargetKind::kSingleClass, true);
    EXPECT_EQ(read_label_list(file, names, TargetKind::kSingleClass)[0].labels, RowLabels{1});
  }
}

TEST(LabelListTest, MistakesAreNamedByFileAndLine) {
  const testing::TemporaryDirectory directory;
  const auto file = directory / "list.csv";
  const auto refused = [&](const std::string& text, TargetKind kind,
                           const std::vector<std::string>& parts) {
    std::ofstream(file) << text;
    expect_error(ErrorKind::kData, parts, [&] { (void)read_label_list(file, kLabels, kind); });
  };
  const auto labels = TargetKind::kMultiLabel, classes = TargetKind::kSingleClass;
  refused("id,labels\na,clear\nb,wather\n", labels, {"list.csv:3", "wather", "water"});
  refused("id,labels\na,clear\na,water\n", labels, {"list.csv:3", "'a' occurs twice"});
  refused("id,labels,accepted\na,clear,perhaps\n", labels, {"list.csv:2", "perhaps", "yes or no"});
  refused("id,labels\na,\n", classes, {"list.csv:2", "no class"});
  refused("id,tags\na,clear\n", labels, {"labels"});
}

}  // namespace
}  // namespace baleen
