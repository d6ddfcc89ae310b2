#include "data/oof.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "data/oof_assembly.h"
#include "tests/data/expect_error.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

using ::baleen::testing::expect_error;

std::string text_of(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

/// Six samples in two folds, two models, a test set of two.
class OofTest : public ::testing::Test {
 protected:
  OofTest() {
    subject_.target_kind = TargetKind::kMultiLabel;
    subject_.ids = {"a", "b", "c", "d", "e", "f"};
    subject_.groups = {"", "", "g", "g", "", ""};
    subject_.label_names = {"clear", "haze"};
    subject_.labels = {{0}, {1}, {0}, {0, 1}, {}, {1}};
    folds_.count = 2;
    folds_.folds = {0, 1, 1, 1, 0, 0};
  }
  std::vector<std::string> ids(const std::vector<int64_t>& positions) const {
    std::vector<std::string> list;
    for (int64_t n : positions) list.push_back(subject_.ids[static_cast<size_t>(n)]);
    return list;
  }
  /// The value that model m gives to sample n in column k.
  static float value(int64_t m, int64_t n, int64_t k) {
    return static_cast<float>(100 * m + 10 * n + k) / 1000;
  }
  PredictionTable held_out(int64_t m, const std::vector<int64_t>& positions) const {
    PredictionTable table("t", ids(positions), 2);
    for (int64_t n : positions)
      table.add(ids({n}), at::tensor({value(m, n, 0), value(m, n, 1)}).reshape({1, 2}));
    return table;
  }
  PredictionTable test_table(float first) const {
    PredictionTable table("t", test_ids_, 2);
    table.add(test_ids_, first + at::arange(4, at::kFloat).reshape({2, 2}));
    return table;
  }
  void fill(OofAssembly& assembly) const {
    for (int64_t m = 1; m >= 0; --m)  // in any order
      for (int64_t fold = 0; fold < 2; ++fold) {
        assembly.add(models_[static_cast<size_t>(m)], fold, held_out(m, folds_.positions_in(fold)),
                     ids(folds_.positions_outside(fold)));
        assembly.add_test(models_[static_cast<size_t>(m)], fold,
                          test_table(static_cast<float>(fold)));
      }
  }
  OofData complete() const {
    OofAssembly assembly(subject_, folds_, models_, test_ids_);
    fill(assembly);
    OofData data = assembly.finish();
    data.targets = at::tensor({1, 0, 0, 1, 1, 0, 1, 1, 0, 0, 0, 1}, at::kFloat).reshape({6, 2});
    data.config_hash = "0123";
    return data;
  }

  FoldSubject subject_;
  FoldAssignment folds_;
  std::vector<std::string> models_ = {"simplenet", "resnet18"};
  std::vector<std::string> test_ids_ = {"t1", "t2"};
};

TEST_F(OofTest, EverySampleComesFromItsOwnFold) {
  const OofData data = complete();
  ASSERT_EQ(data.oof_MNK.sizes(), (std::vector<int64_t>{2, 6, 2}));
  for (int64_t m = 0; m < 2; ++m)
    for (int64_t n = 0; n < 6; ++n)
      for (int64_t k = 0; k < 2; ++k)
        EXPECT_EQ(data.oof_MNK[m][n][k].item<float>(), value(m, n, k));
  EXPECT_EQ(data.test_folds_MFTK.sizes(), (std::vector<int64_t>{2, 2, 2, 2}));
  EXPECT_TRUE(at::equal(data.test_MTK[0], 0.5 + at::arange(4, at::kFloat).reshape({2, 2})));
}

TEST_F(OofTest, LeaksAreCaughtAndNamed) {
  OofAssembly assembly(subject_, folds_, models_, test_ids_);
  const PredictionTable fold0 = held_out(1, {0, 4, 5});
  expect_error(ErrorKind::kData, {"resnet18/fold0", "'e'", "after training on it"}, [&] {
    assembly.add("resnet18", 0, fold0, ids({1, 2, 3, 4}));
  });
  expect_error(ErrorKind::kData, {"resnet18/fold1", "'d'", "'c'", "group 'g'"}, [&] {
    assembly.add("resnet18", 1, held_out(1, {1, 3}), ids({0, 2, 4, 5}));
  });
  expect_error(ErrorKind::kData, {"resnet18/fold1", "'a'", "belongs to fold 0"}, [&] {
    assembly.add("resnet18", 1, held_out(1, {0, 1}), ids({4}));
  });
  expect_error(ErrorKind::kData, {"trained on sample 'q'"}, [&] {
    assembly.add("resnet18", 0, fold0, {"b", "q"});
  });
  PredictionTable foreign("t", {"zz"}, 2);
  foreign.add({"zz"}, at::ones({1, 2}));
  expect_error(ErrorKind::kData, {"resnet18/fold0", "'zz'", "in no fold"},
               [&] { assembly.add("resnet18", 0, foreign, {}); });
}

TEST_F(OofTest, GapsAndRepetitionsAreCaughtAndNamed) {
  OofAssembly assembly(subject_, folds_, models_, test_ids_);
  fill(assembly);
  expect_error(ErrorKind::kData, {"simplenet/fold0", "'a'", "second time"},
               [&] { assembly.add("simplenet", 0, held_out(0, {0}), {}); });
  expect_error(ErrorKind::kData, {"simplenet/fold0", "came twice"},
               [&] { assembly.add_test("simplenet", 0, test_table(0)); });

  OofAssembly partial(subject_, folds_, {"simplenet"});
  partial.add("simplenet", 1, held_out(0, {1, 2, 3}), ids({0, 4, 5}));
  expect_error(ErrorKind::kData, {"1 of 2", "'simplenet/fold0'"}, [&] { partial.finish(); });
  partial.add("simplenet", 0, held_out(0, {0, 5}), ids({1, 2, 3}));
  expect_error(ErrorKind::kData, {"simplenet", "1 samples", "'e'"}, [&] { partial.finish(); });

  PredictionTable incomplete("resnet18/fold0", {"a", "e"}, 2);
  incomplete.add({"a"}, at::ones({1, 2}));
  expect_error(ErrorKind::kData, {"1 of 2", "'e'"},
               [&] { partial.add("simplenet", 0, incomplete, {}); });
  expect_error(ErrorKind::kData, {"'b'", "test set"},
               [&] { OofAssembly(subject_, folds_, models_, {"b"}); });
  PredictionTable swapped("t", {"t2", "t1"}, 2);
  swapped.add({"t2", "t1"}, at::ones({2, 2}));
  OofAssembly other(subject_, folds_, models_, test_ids_);
  expect_error(ErrorKind::kData, {"simplenet/fold1", "other samples"},
               [&] { other.add_test("simplenet", 1, swapped); });
}

TEST_F(OofTest, FilesAreReadBackAndAreTheSameBytes) {
  const testing::TemporaryDirectory directory;
  OofData data = complete();
  data.test_targets = at::tensor({1, 0, 0, 1}, at::kFloat).reshape({2, 2});
  write_oof(directory / "oof.h5", data);
  write_oof(directory / "again.h5", complete());
  const OofData read = read_oof(directory / "oof.h5");
  EXPECT_EQ(read.ids, data.ids);
  EXPECT_EQ(read.labels, data.labels);
  EXPECT_EQ(read.models, data.models);
  EXPECT_EQ(read.folds, data.folds);
  EXPECT_EQ(read.num_folds, 2);
  EXPECT_EQ(read.test_ids, data.test_ids);
  EXPECT_EQ(read.config_hash, "0123");
  EXPECT_EQ(read.target_kind, TargetKind::kMultiLabel);
  for (const auto& [a, b] :
       {std::pair(read.targets, data.targets), std::pair(read.oof_MNK, data.oof_MNK),
        std::pair(read.test_MTK, data.test_MTK), std::pair(read.test_targets, data.test_targets),
        std::pair(read.test_folds_MFTK, data.test_folds_MFTK)})
    EXPECT_TRUE(at::equal(a, b));
  EXPECT_FALSE(read_oof(directory / "again.h5").test_targets.defined());
  write_oof(directory / "same.h5", read);
  EXPECT_EQ(text_of(directory / "same.h5"), text_of(directory / "oof.h5"));
}

TEST_F(OofTest, ClassesAndMissingTestSetsAreKept) {
  const testing::TemporaryDirectory directory;
  OofData data = complete();
  data.target_kind = TargetKind::kSingleClass;
  data.targets = at::tensor({0, 1, 1, 0, 0, 1}, at::kLong);
  data.test_ids.clear();
  data.test_MTK = data.test_folds_MFTK = at::Tensor();
  write_oof(directory / "oof.h5", data);
  const OofData read = read_oof(directory / "oof.h5");
  EXPECT_TRUE(at::equal(read.targets, data.targets));
  EXPECT_FALSE(read.test_MTK.defined());
  write_oof_csv(directory / "oof.csv", read);
  EXPECT_THAT(text_of(directory / "oof.csv"),
              ::testing::StartsWith(
                  "id,fold,target,simplenet:clear,simplenet:haze,resnet18:clear,resnet18:haze\n"
                  "a,0,clear,0,0.001,0.1,0.101\n"));
}

TEST_F(OofTest, CsvQuotesWhatItMust) {
  const testing::TemporaryDirectory directory;
  OofData data = complete();
  data.ids[0] = "a,\"x\"";
  data.test_targets = at::Tensor();
  write_oof_csv(directory / "oof.csv", data);
  EXPECT_THAT(text_of(directory / "oof.csv"),
              ::testing::HasSubstr("\n\"a,\"\"x\"\"\",0,1,0,0,0.001,"));
  write_test_csv(directory / "test.csv", data);
  EXPECT_THAT(text_of(directory / "test.csv"), ::testing::HasSubstr("\nt1,0.5,1.5,0.5,1.5\nt2,"));
}

TEST_F(OofTest, DamagedFilesAndWrongShapesAreRefused) {
  const testing::TemporaryDirectory directory;
  OofData data = complete();
  data.folds.pop_back();
  expect_error(ErrorKind::kInternal, {"5 folds for 6"},
               [&] { write_oof(directory / "oof.h5", data); });
  data = complete();
  data.models[0] = std::string("a\0b", 3);  // refused by the HDF5 layer, in the middle of writing
  expect_error(ErrorKind::kData, {"zero byte"}, [&] { write_oof(directory / "oof.h5", data); });
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
  std::ofstream(directory / "oof.h5") << "text";
  expect_error(ErrorKind::kData, {"oof.h5"}, [&] { read_oof(directory / "oof.h5"); });
  expect_error(ErrorKind::kData, {"none.h5"}, [&] { read_oof(directory / "none.h5"); });
}

TEST_F(OofTest, PythonReadsTheFile) {
  const char* python = std::getenv("BALEEN_PYTHON");
  const char* source = std::getenv("BALEEN_SOURCE");
  if (!python || !source) GTEST_SKIP() << "BALEEN_PYTHON is not set";
  const testing::TemporaryDirectory directory;
  write_oof(directory / "oof.h5", complete());
  const std::string command =
      fmt::format("'{}' '{}/tests/parity/read_oof.py' '{}' > '{}'", python, source,
                  (directory / "oof.h5").string(), (directory / "out.txt").string());
  ASSERT_EQ(std::system(command.c_str()), 0);
  EXPECT_EQ(
      text_of(directory / "out.txt"),
      "baleen out-of-fold predictions 1 multi_label\na b c d e f\nclear haze\nsimplenet resnet18\n"
      "0 1 1 1 0 0\n(2, 6, 2) float32 0.151\n(2, 2, 2) float32 0.5\n");
}

}  // namespace
}  // namespace baleen
