#include "data/folds.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "core/base/seeds.h"
#include "tests/data/expect_error.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

using ::baleen::testing::expect_error;

/// A table of `id,labels separated by spaces` with a header.
FoldSubject subject_from_csv(const std::filesystem::path& file, TargetKind kind) {
  FoldSubject subject;
  subject.target_kind = kind;
  std::map<std::string, int64_t> index;
  std::ifstream stream(file);
  std::string line;
  std::getline(stream, line);
  while (std::getline(stream, line)) {
    const size_t comma = line.find(',');
    subject.ids.push_back(line.substr(0, comma));
    std::istringstream tags(line.substr(comma + 1));
    std::vector<int64_t> labels;
    for (std::string tag; tags >> tag;) {
      const auto [entry, fresh] = index.try_emplace(tag, static_cast<int64_t>(index.size()));
      if (fresh) subject.label_names.push_back(tag);
      labels.push_back(entry->second);
    }
    std::sort(labels.begin(), labels.end());
    subject.labels.push_back(labels);
  }
  return subject;
}

FoldSubject synthetic(int64_t n, int64_t num_labels, uint64_t seed) {
  FoldSubject subject;
  subject.target_kind = TargetKind::kMultiLabel;
  CounterRandom random(seed);
  for (int64_t l = 0; l < num_labels; ++l) subject.label_names.push_back(fmt::format("l{}", l));
  for (int64_t i = 0; i < n; ++i) {
    subject.ids.push_back(fmt::format("s{}", i));
    std::vector<int64_t> labels;
    for (int64_t l = 0; l < num_labels; ++l)
      if (random.uniform() < 0.7 / static_cast<double>(1 + l)) labels.push_back(l);
    subject.labels.push_back(labels);
  }
  return subject;
}

/// Samples [fold][0] and samples per label [fold][1 + l].
std::vector<std::vector<int64_t>> counts_of(const FoldSubject& subject,
                                            const FoldAssignment& result) {
  std::vector<std::vector<int64_t>> counts(static_cast<size_t>(result.count),
                                           std::vector<int64_t>(1 + subject.label_names.size(), 0));
  for (size_t i = 0; i < subject.ids.size(); ++i) {
    auto& of_fold = counts.at(static_cast<size_t>(result.folds.at(i)));
    ++of_fold[0];
    for (int64_t label : subject.labels[i]) ++of_fold[static_cast<size_t>(1 + label)];
  }
  return counts;
}

struct Deviation {
  double largest = 0;
  double squares = 0;
};

/// Deviations from equal shares; column 0 is the fold's size.
Deviation deviation_of(const FoldSubject& subject, const FoldAssignment& result) {
  const auto counts = counts_of(subject, result);
  Deviation deviation;
  for (size_t column = 0; column < counts[0].size(); ++column) {
    int64_t total = 0;
    for (const auto& of_fold : counts) total += of_fold[column];
    for (const auto& of_fold : counts) {
      const double d = static_cast<double>(of_fold[column]) -
                       static_cast<double>(total) / static_cast<double>(result.count);
      deviation.largest = std::max(deviation.largest, std::abs(d));
      deviation.squares += d * d;
    }
  }
  return deviation;
}

TEST(FoldsTest, IterativeKeepsEveryLabelOfPlanetWithinOneOfItsShare) {
  if (testing::real_data().empty()) GTEST_SKIP() << "BALEEN_DATA is not there";
  const FoldSubject subject = subject_from_csv(testing::real_data() / "planet/all_train_labels.csv",
                                               TargetKind::kMultiLabel);
  ASSERT_EQ(subject.ids.size(), 40479u);
  ASSERT_EQ(subject.label_names.size(), 17u);
  for (int64_t k : {3, 5, 10}) {
    const FoldAssignment result = make_folds(subject, {.count = k});
    EXPECT_EQ(result.kind, "iterative");
    const Deviation deviation = deviation_of(subject, result);
    RecordProperty(fmt::format("largest_deviation_k{}", k), fmt::format("{}", deviation.largest));
    EXPECT_LE(deviation.largest, 1.0) << k << " folds";
  }
}

TEST(FoldsTest, IterativeIsAtLeastAsEvenAsThePythonReference) {
  const char* python = std::getenv("BALEEN_PYTHON");
  const char* source = std::getenv("BALEEN_SOURCE");
  if (!python || !source) GTEST_SKIP() << "BALEEN_PYTHON is not set";
  if (testing::real_data().empty()) GTEST_SKIP() << "BALEEN_DATA is not there";
  const testing::TemporaryDirectory directory;
  for (const char* table : {"planet/labels.csv", "planet/all_train_labels.csv"}) {
    const FoldSubject subject =
        subject_from_csv(testing::real_data() / table, TargetKind::kMultiLabel);
    std::ofstream out(directory / "labels.csv");
    for (const auto& labels : subject.labels) {
      std::string line(subject.label_names.size(), '0');
      for (int64_t label : labels) line[static_cast<size_t>(label)] = '1';
      out << line << '\n';
    }
    out.close();
    const std::string command =
        fmt::format("'{}' '{}/tests/parity/stratified_folds.py' '{}' 5 '{}'", python, source,
                    (directory / "labels.csv").string(), (directory / "deviations.txt").string());
    ASSERT_EQ(std::system(command.c_str()), 0) << command;
    Deviation reference;
    std::ifstream(directory / "deviations.txt") >> reference.largest >> reference.squares;
    ASSERT_GT(reference.squares, 0.0);

    const Deviation ours = deviation_of(subject, make_folds(subject, {.count = 5}));
    fmt::print("{}: largest deviation {:.2f} (reference {:.2f}), sum of squares {:.1f} ({:.1f})\n",
               table, ours.largest, reference.largest, ours.squares, reference.squares);
    EXPECT_LE(ours.largest, reference.largest);
    EXPECT_LE(ours.squares, reference.squares);
  }
}

TEST(FoldsTest, StratifiedDealsTheLongTailOfWhalesEvenly) {
  if (testing::real_data().empty()) GTEST_SKIP() << "BALEEN_DATA is not there";
  const FoldSubject subject =
      subject_from_csv(testing::real_data() / "whale/train.csv", TargetKind::kSingleClass);
  ASSERT_EQ(subject.ids.size(), 25361u);
  const FoldAssignment result = make_folds(subject, {.count = 5});
  EXPECT_EQ(result.kind, "stratified");
  EXPECT_LT(deviation_of(subject, result).largest, 1.0);
  ASSERT_EQ(result.warnings.size(), 1u);
  EXPECT_THAT(result.warnings[0], ::testing::HasSubstr("of 5005 labels have fewer samples"));
}

TEST(FoldsTest, GroupsOfWhalesStayWhole) {
  if (testing::real_data().empty()) GTEST_SKIP() << "BALEEN_DATA is not there";
  FoldSubject subject =
      subject_from_csv(testing::real_data() / "whale/train.csv", TargetKind::kSingleClass);
  for (const auto& labels : subject.labels) {
    const std::string& name = subject.label_names[static_cast<size_t>(labels[0])];
    subject.groups.push_back(name == "new_whale" ? "" : name);
  }
  const FoldAssignment result = make_folds(subject, {.count = 5});
  EXPECT_EQ(result.kind, "grouped");
  std::map<std::string, std::set<int64_t>> folds_of;
  for (size_t i = 0; i < subject.ids.size(); ++i)
    if (!subject.groups[i].empty()) folds_of[subject.groups[i]].insert(result.folds[i]);
  for (const auto& [group, folds] : folds_of) ASSERT_EQ(folds.size(), 1u) << group;
  const auto counts = counts_of(subject, result);
  for (const auto& of_fold : counts) EXPECT_NEAR(static_cast<double>(of_fold[0]), 25361.0 / 5, 2.0);
}

TEST(FoldsTest, OrderOfTheSamplesDoesNotMatter) {
  for (const char* kind : {"plain", "iterative"}) {
    const FoldSubject subject = synthetic(500, 6, 1);
    std::vector<size_t> order(500);
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    CounterRandom random(2);
    shuffle(order, random);
    FoldSubject moved = subject;
    for (size_t i = 0; i < order.size(); ++i) {
      moved.ids[i] = subject.ids[order[i]];
      moved.labels[i] = subject.labels[order[i]];
    }
    const FoldAssignment a = make_folds(subject, {.kind = kind});
    const FoldAssignment b = make_folds(moved, {.kind = kind});
    for (size_t i = 0; i < order.size(); ++i) ASSERT_EQ(b.folds[i], a.folds[order[i]]) << kind;
  }
}

TEST(FoldsTest, SeedChangesTheDivisionButNotItsQuality) {
  const FoldSubject subject = synthetic(1000, 8, 3);
  const FoldAssignment a = make_folds(subject, {.seed = 0});
  const FoldAssignment b = make_folds(subject, {.seed = 1});
  EXPECT_NE(a.folds, b.folds);
  EXPECT_EQ(a.folds, make_folds(subject, {.seed = 0}).folds);
  EXPECT_LE(deviation_of(subject, a).largest, 1.0);
  EXPECT_LE(deviation_of(subject, b).largest, 1.0);
}

TEST(FoldsTest, SmallAndOddInputsAreDividedToo) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    CounterRandom random(seed);
    const int64_t k = 2 + static_cast<int64_t>(random.below(6));
    FoldSubject subject = synthetic(k + static_cast<int64_t>(random.below(60)), 5, seed);
    if (seed % 2)  // some groups, some samples alone
      for (size_t i = 0; i < subject.ids.size(); ++i)
        subject.groups.push_back(random.below(4) ? "" : fmt::format("g{}", random.below(3)));
    const FoldAssignment result =
        make_folds(subject, {.count = k, .seed = static_cast<int64_t>(seed)});
    ASSERT_EQ(result.folds.size(), subject.ids.size());
    std::map<std::string, std::set<int64_t>> folds_of;
    for (size_t i = 0; i < result.folds.size(); ++i) {
      ASSERT_GE(result.folds[i], 0);
      ASSERT_LT(result.folds[i], k);
      if (!subject.groups.empty() && !subject.groups[i].empty())
        folds_of[subject.groups[i]].insert(result.folds[i]);
    }
    for (const auto& [group, folds] : folds_of) ASSERT_EQ(folds.size(), 1u) << group;
    const std::vector<int64_t> in = result.positions_in(0);
    const std::vector<int64_t> outside = result.positions_outside(0);
    EXPECT_EQ(in.size() + outside.size(), subject.ids.size());
  }
}

TEST(FoldsTest, GroupsAreKeptWholeWhateverTheKind) {
  FoldSubject subject = synthetic(100, 3, 9);
  for (size_t i = 0; i < 100; ++i) subject.groups.push_back(fmt::format("g{}", i / 4));
  for (const char* kind : {"plain", "iterative", "grouped"}) {
    const FoldAssignment result = make_folds(subject, {.kind = kind});
    for (size_t i = 0; i < 100; ++i) ASSERT_EQ(result.folds[i], result.folds[i / 4 * 4]) << kind;
    for (const auto& of_fold : counts_of(subject, result)) EXPECT_EQ(of_fold[0], 20) << kind;
  }
}

TEST(FoldsTest, RareLabelsAreNamedInAWarning) {
  FoldSubject subject = synthetic(50, 2, 4);
  subject.label_names = {"l0", "l1", "blow_down", "never"};
  subject.labels[7].push_back(2);
  const FoldAssignment result = make_folds(subject, {});
  ASSERT_EQ(result.warnings.size(), 2u);
  EXPECT_THAT(result.warnings[0], ::testing::HasSubstr("'never'"));
  EXPECT_THAT(result.warnings[1], ::testing::HasSubstr("'blow_down (1)'"));
}

TEST(FoldsTest, WhatCannotBeDividedIsRefused) {
  FoldSubject subject = synthetic(4, 2, 5);
  expect_error(ErrorKind::kData, {"5 folds", "4 samples", "lower folds.count"},
               [&] { make_folds(subject, {.count = 5}); });
  subject.ids[3] = subject.ids[0];
  expect_error(ErrorKind::kData, {"'s0' occurs twice"}, [&] { make_folds(subject, {.count = 2}); });
  subject = synthetic(10, 2, 5);
  expect_error(ErrorKind::kConfiguration, {"'stratified'", "iterative"},
               [&] { make_folds(subject, {.kind = "stratified"}); });
  expect_error(ErrorKind::kConfiguration, {"'grouped'", "no sample has a group"},
               [&] { make_folds(subject, {.kind = "grouped"}); });
  subject.groups.assign(10, "one");
  expect_error(ErrorKind::kData, {"2 folds", "1 groups"},
               [&] { make_folds(subject, {.count = 2}); });
}

class FoldFileTest : public ::testing::Test {
 protected:
  std::filesystem::path write(const std::string& text) {
    const std::filesystem::path file = directory_ / "folds.csv";
    std::ofstream(file) << text;
    return file;
  }
  FoldAssignment read(const std::string& text) {
    return make_folds(subject_, {.count = 2, .folds_from = write(text).string()});
  }
  testing::TemporaryDirectory directory_;
  FoldSubject subject_ = {.ids = {"a", "b,c", "d"}, .groups = {"", "g", "g"}};
};

TEST_F(FoldFileTest, IsReadByColumnName) {
  EXPECT_EQ(read("fold,other,id\r\n1,x,a\r\n0,y,\"b,c\"\r\n0,z,d\r\n").folds,
            (std::vector<int64_t>{1, 0, 0}));
  EXPECT_EQ(read("image_name,fold\nd,0\na,1\n\"b,c\",0\n").folds, (std::vector<int64_t>{1, 0, 0}));
}

TEST_F(FoldFileTest, MistakesAreNamed) {
  expect_error(ErrorKind::kData, {"folds.csv", "1 of 3 samples", "'d'"},
               [&] { read("id,fold\na,0\n\"b,c\",1\n"); });
  expect_error(ErrorKind::kData, {"not in the dataset", "'x'"},
               [&] { read("id,fold\na,0\n\"b,c\",1\nd,1\nx,1\n"); });
  expect_error(ErrorKind::kData, {"folds.csv:2", "'a'", "'2'", "0 to 1"},
               [&] { read("id,fold\na,2\n"); });
  expect_error(ErrorKind::kData, {"folds.csv:2", "'1.5'"}, [&] { read("id,fold\na,1.5\n"); });
  expect_error(ErrorKind::kData, {"folds.csv:3", "'a' is listed twice"},
               [&] { read("id,fold\na,0\na,1\n"); });
  expect_error(ErrorKind::kData, {"group 'g' is split", "'b,c'", "'d'"},
               [&] { read("id,fold\na,0\n\"b,c\",1\nd,0\n"); });
  expect_error(ErrorKind::kData, {"fold 1 holds no sample"},
               [&] { read("id,fold\na,0\n\"b,c\",0\nd,0\n"); });
  expect_error(ErrorKind::kData, {"header", "id and fold"}, [&] { read("name,part,x\n"); });
  expect_error(ErrorKind::kData, {"folds.csv:2", "1 fields"}, [&] { read("id,fold\na\n"); });
  expect_error(ErrorKind::kData, {"empty"}, [&] { read(""); });
  expect_error(ErrorKind::kData, {"none.csv", "folds_from"},
               [&] { read_folds(subject_, directory_ / "none.csv", 2); });
}

}  // namespace
}  // namespace baleen
