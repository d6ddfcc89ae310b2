#include "experiments/teacher.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "data/oof.h"
#include "tests/data/expect_error.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

using ::baleen::testing::expect_error;
using ::baleen::testing::TemporaryDirectory;

const std::vector<std::string> kLabels = {"x", "y"};

std::string write(const TemporaryDirectory& directory, const std::string& name,
                  const std::string& text) {
  std::ofstream(directory / name) << text;
  return (directory / name).string();
}

Teacher teacher(const std::vector<std::string>& paths, bool allow_seen = false,
                bool classes = true) {
  return {{.teachers = paths, .allow_seen = allow_seen}, kLabels, classes};
}

/// Two models, four samples in two folds, and one test sample.
std::string write_run(const TemporaryDirectory& directory) {
  OofData data;
  data.target_kind = TargetKind::kSingleClass;
  data.ids = {"a", "b", "c", "d"};
  data.labels = {"y", "x"};  // another order
  data.models = {"one", "two"};
  data.folds = {0, 1, 0, 1};
  data.num_folds = 2;
  data.targets = at::tensor({0, 1, 0, 1}, at::kLong);
  const at::Tensor p_MN = at::tensor({.9f, .8f, .7f, .6f, .5f, .4f, .3f, .2f}).view({2, 4});
  data.oof_MNK = at::stack({p_MN, 1 - p_MN}, 2);
  data.test_ids = {"t"};
  data.test_MTK = at::tensor({.1f, .9f, .3f, .7f}).view({2, 1, 2});
  std::filesystem::create_directories(directory / "run");
  write_oof(directory / "run" / "oof.h5", data);
  return (directory / "run").string();
}

TEST(TeacherTest, ARunTeachesTheMeanOfItsModelsByLabelName) {
  const TemporaryDirectory directory;
  const Teacher one = teacher({write_run(directory)});
  const std::vector<std::string> ids = {"c", "t", "a"};
  const at::Tensor expected = at::tensor({.5f, .5f, .8f, .2f, .3f, .7f}).view({3, 2});
  EXPECT_LT((one.rows(ids) - expected).abs().max().item<double>(), 1e-6);
  one.check_unseen(ids, std::vector<int64_t>{1, 1, 1});  // proved by the run, whatever the folds
}

TEST(TeacherTest, AnAnswerIsTheMeanOverThoseThatKnowTheImage) {
  const TemporaryDirectory directory;
  const std::string table = write(directory, "t.csv", "id,fold,x,y\na,0,1,0\nz,1,0.25,0.75\n");
  const Teacher both = teacher({write_run(directory), table});
  const at::Tensor rows = both.rows(std::vector<std::string>{"a", "z"});
  EXPECT_NEAR(rows[0][0].item<double>(), (.3 + 1) / 2, 1e-6);
  EXPECT_NEAR(rows[1][0].item<double>(), .25, 1e-6);
  expect_error(ErrorKind::kData, {"'q'", "t.csv", "relabel"}, [&] {
    (void)both.rows(std::vector<std::string>{"a", "q"});
  });
}

TEST(TeacherTest, ATableMustProveThatItsModelHadNotSeenTheSample) {
  const TemporaryDirectory directory;
  const std::string silent = write(directory, "silent.csv", "id,x,y\na,1,0\n");
  const std::string other = write(directory, "other.csv", "id,fold,x,y\na,2,1,0\n");
  const std::vector<std::string> ids = {"a"};
  const std::vector<int64_t> folds = {1};
  expect_error(ErrorKind::kData, {"silent.csv", "'a'", "fold"},
               [&] { teacher({silent}).check_unseen(ids, folds); });
  expect_error(ErrorKind::kData, {"other.csv", "'a'", "fold 2", "fold 1"},
               [&] { teacher({other}).check_unseen(ids, folds); });
  teacher({silent}, true).check_unseen(ids, folds);
  teacher({other}).check_unseen(ids, std::vector<int64_t>{2});
}

TEST(TeacherTest, RowsThatAreNoProbabilitiesAreNamed) {
  const TemporaryDirectory directory;
  expect_error(ErrorKind::kData, {"sum.csv", "'b'", "0.900000"}, [&] {
    (void)teacher({write(directory, "sum.csv", "id,x,y\na,0.5,0.5\nb,0.5,0.4\n")});
  });
  expect_error(ErrorKind::kData, {"logit.csv", "'a'", "-2"}, [&] {
    (void)teacher({write(directory, "logit.csv", "id,x,y\na,-2,3\n")}, false, false);
  });
  expect_error(ErrorKind::kData, {"column.csv", "'y'"},
               [&] { (void)teacher({write(directory, "column.csv", "id,x,z\na,0.5,0.5\n")}); });
  expect_error(ErrorKind::kData, {"oof.h5"}, [&] { (void)teacher({directory.path().string()}); });
}

}  // namespace
}  // namespace baleen
