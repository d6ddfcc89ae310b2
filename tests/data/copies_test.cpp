// Flipped and rotated copies of samples, on their way through folds and out-of-fold predictions.
#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "data/folds.h"
#include "data/oof_assembly.h"
#include "data/pack/pack.h"
#include "data/packed_dataset.h"
#include "data/sample_table.h"
#include "tests/data/dataset_files.h"
#include "tests/data/expect_error.h"

namespace baleen {
namespace {

using ::baleen::testing::expect_error;
using ::testing::ElementsAre;
using testing::TemporaryDirectory;

/// The subject of `num_samples` samples of two classes, the second three times as rare; every rare
/// sample has two copies, at the end.
FoldSubject balanced_subject(int64_t num_samples) {
  FoldSubject subject;
  subject.target_kind = TargetKind::kSingleClass;
  subject.label_names = {"grass", "dandelion"};
  const auto add = [&](const std::string& id, int64_t label, const std::string& source) {
    subject.ids.push_back(id);
    subject.labels.push_back({label});
    subject.copies_of.push_back(source);
    const bool copied = label == 1;
    subject.groups.push_back(copied ? "like " + (source.empty() ? id : source) : "");
  };
  for (int64_t i = 0; i < num_samples; ++i) add(fmt::format("s{:03}", i), i % 4 == 3, "");
  for (int64_t i = 3; i < num_samples; i += 4)
    for (const char* symmetry : {"rot90", "flip_horizontal"})
      add(fmt::format("s{:03}@{}", i, symmetry), 1, fmt::format("s{:03}", i));
  return subject;
}

TEST(CopiesTest, FoldsAreThoseOfTheOriginalsAndCopiesInheritThem) {
  const FoldSubject subject = balanced_subject(100);
  FoldOptions options;
  options.count = 5;
  const FoldAssignment folds = make_folds(subject, options);
  EXPECT_EQ(folds.kind, "stratified") << "groups made for copies only must not change the kind";

  FoldSubject originals = subject;
  for (auto* list : {&originals.ids, &originals.groups, &originals.copies_of}) list->resize(100);
  originals.labels.resize(100);
  originals.groups.assign(100, "");
  const FoldAssignment without = make_folds(originals, options);
  std::map<std::string, int64_t> fold_of;
  for (size_t i = 0; i < 100; ++i) {
    EXPECT_EQ(folds.folds[i], without.folds[i]);
    fold_of[subject.ids[i]] = folds.folds[i];
  }
  for (size_t i = 100; i < subject.ids.size(); ++i)
    EXPECT_EQ(folds.folds[i], fold_of[subject.copies_of[i]]) << subject.ids[i];

  for (int64_t fold = 0; fold < 5; ++fold) {
    const std::vector<int64_t> in = folds.positions_in(fold);
    EXPECT_EQ(in.size(), 20u);
    for (const int64_t position : in) EXPECT_FALSE(subject.is_copy(position));
    const std::vector<int64_t> outside = folds.positions_outside(fold);
    EXPECT_EQ(outside.size(), 80u + 2 * 20u) << "the copies of the other folds are trained on";
    for (const int64_t position : outside)
      EXPECT_NE(folds.folds[static_cast<size_t>(position)], fold);
  }
}

TEST(CopiesTest, RealGroupsStillCount) {
  FoldSubject subject = balanced_subject(40);
  subject.groups[0] = subject.groups[1] = "burst";
  FoldOptions options;
  options.count = 4;
  const FoldAssignment folds = make_folds(subject, options);
  EXPECT_EQ(folds.kind, "grouped");
  EXPECT_EQ(folds.folds[0], folds.folds[1]);
}

TEST(CopiesTest, AFileOfFoldsListsOriginalsOnly) {
  TemporaryDirectory directory;
  const FoldSubject subject = balanced_subject(8);
  std::string csv = "id,fold\n";
  for (int i = 0; i < 8; ++i) csv += fmt::format("s{:03},{}\n", i, i / 4);
  testing::write_text(directory / "folds.csv", csv);
  FoldOptions options;
  options.count = 2;
  options.folds_from = (directory / "folds.csv").string();
  const FoldAssignment folds = make_folds(subject, options);
  EXPECT_THAT(folds.folds, ElementsAre(0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 1, 1));
  EXPECT_THAT(folds.positions_in(1), ElementsAre(4, 5, 6, 7));
  EXPECT_THAT(folds.positions_outside(1), ElementsAre(0, 1, 2, 3, 8, 9));
}

TEST(CopiesTest, ACopyWithoutItsOriginalIsAnError) {
  FoldSubject subject = balanced_subject(8);
  subject.copies_of.back() = "gone";
  expect_error(ErrorKind::kData, {"is a copy of 'gone'"},
               [&] { make_folds(subject, {.count = 2}); });
}

TEST(CopiesTest, OutOfFoldRowsAreOriginalsAndLeaksThroughCopiesAreCaught) {
  const FoldSubject subject = balanced_subject(8);
  const FoldAssignment folds = make_folds(subject, {.count = 2});
  const auto ids = [&](const std::vector<int64_t>& positions) {
    std::vector<std::string> list;
    for (const int64_t p : positions) list.push_back(subject.ids[static_cast<size_t>(p)]);
    return list;
  };
  const auto table = [&](int64_t fold) {
    const std::vector<std::string> held_out = ids(folds.positions_in(fold));
    PredictionTable predictions("t", held_out, 2);
    predictions.add(held_out, at::ones({static_cast<int64_t>(held_out.size()), 2}));
    return predictions;
  };
  OofAssembly assembly(subject, folds, {"net"});
  std::vector<std::string> training = ids(folds.positions_outside(0));
  assembly.add("net", 0, table(0), training);

  // A copy of a held-out sample, without the sample itself, gives the answer away as well.
  std::string leak;
  for (size_t i = 0; i < subject.ids.size(); ++i)
    if (subject.is_copy(i) && folds.folds[i] == 0) leak = subject.ids[i];
  ASSERT_FALSE(leak.empty());
  training.push_back(leak);
  OofAssembly leaking(subject, folds, {"net"});
  expect_error(ErrorKind::kData, {"net/fold0", leak.substr(0, 4), "after training on it"},
               [&] { leaking.add("net", 0, table(0), training); });

  assembly.add("net", 1, table(1), ids(folds.positions_outside(1)));
  const OofData data = assembly.finish();
  EXPECT_EQ(data.ids, ids({0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(data.folds.size(), 8u);
  EXPECT_EQ(data.oof_MNK.size(1), 8);
}

TEST(CopiesTest, APackedDatasetBringsThem) {
  TemporaryDirectory directory;
  for (int i = 0; i < 9; ++i)
    testing::write_png(directory / "photos" / (i < 6 ? "a" : "b") / fmt::format("{}.png", i),
                       testing::picture(16, 16, 3, i));
  PackOptions options;
  options.output = (directory / "packed").string();
  options.source = "folders";
  options.images = (directory / "photos").string();
  options.balance = {"rot180"};
  pack_dataset(options);
  const auto table = sample_table(PackedDataset::open(options.output));
  ASSERT_EQ(table->size(), 12);
  std::vector<int64_t> rows(12);
  for (size_t i = 0; i < 12; ++i) rows[i] = static_cast<int64_t>(i);
  const FoldSubject subject = fold_subject(*table, rows);
  const FoldAssignment folds = make_folds(subject, {.count = 3});
  EXPECT_EQ(folds.kind, "stratified");
  for (int64_t fold = 0; fold < 3; ++fold) {
    EXPECT_EQ(folds.positions_in(fold).size(), 3u);
    EXPECT_EQ(folds.positions_outside(fold).size(), 6u + 2u);
  }
}

}  // namespace
}  // namespace baleen
