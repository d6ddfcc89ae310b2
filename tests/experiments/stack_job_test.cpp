// What `baleen stack` makes of other people's files.
#include "experiments/ensemble/stack_job.h"

#include <ATen/ATen.h>

#include <cmath>
#include <fstream>

#include "core/base/atomic_file.h"
#include "data/hdf5/file.h"
#include "data/oof.h"
#include "experiments/ensemble/contestants.h"
#include "experiments/ensemble/score_table.h"
#include "experiments/ensemble/stack_inputs.h"
#include "tests/data/expect_error.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

using ::testing::ElementsAre;
using testing::expect_error;
using ::testing::HasSubstr;

class StackJobTest : public ::testing::Test {
 protected:
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
    return (folder_ / name).string();
  }
  /// Eight samples of two labels in two folds.
  std::string table(const std::string& name, double shift = 0) const {
    std::string text = "id,fold,a,b\n";
    for (int i = 0; i < 8; ++i)
      text += fmt::format("s{},{},{},{}\n", i, i % 2, shift + i / 10.0, shift + (7 - i) / 20.0);
    return write(name, text);
  }
  std::string labels() const {
    std::string text = "id,tags\n";
    for (int i = 0; i < 8; ++i) text += fmt::format("s{},{}\n", i, i % 3 ? "a" : "a b");
    return write("labels.csv", text);
  }
  StackJob job(const std::vector<std::string>& paths) const {
    StackJob job;
    for (const std::string& path : paths) job.inputs.push_back({.path = path});
    job.output = (folder_ / "out").string();
    return job;
  }
  std::string hdf5(const std::string& name, std::vector<int64_t> folds,
                   const std::vector<std::string>& columns) const {
    hdf5::File file = hdf5::File::create(folder_ / name);
    file.write_strings("ids", std::vector<std::string>{"s0", "s1"});
    file.write_strings("columns", columns);
    file.write<int64_t>("folds", {2}, folds);
    file.write<float>("predictions", {2, 2}, std::vector<float>{0.1f, 0.2f, 0.3f, 0.4f});
    file.close();
    return (folder_ / name).string();
  }
  /// A finished run of one network, as far as stacking looks at it.
  std::string run(const std::string& name, const std::string& model) const {
    OofData data;
    data.target_kind = TargetKind::kMultiLabel;
    data.labels = {"a", "b"};
    data.models = {model};
    data.config_hash = "0";
    data.num_folds = 2;
    for (int i = 0; i < 8; ++i) {
      data.ids.push_back(fmt::format("s{}", i));
      data.folds.push_back(i % 2);
    }
    data.targets = at::ones({8, 2});
    data.oof_MNK = at::linspace(0, 1, 16).reshape({1, 8, 2});
    std::filesystem::create_directories(folder_ / name);
    write_oof(folder_ / name / "oof.h5", data);
    return (folder_ / name).string();
  }

  testing::TemporaryDirectory folder_;
};

TEST_F(StackJobTest, LogitsOfClassesGoThroughASoftmax) {
  const at::Tensor logits = at::tensor({12.0, 11.0, 10.0}, at::kDouble).reshape({1, 3});
  const EnsembleInput input{.kind = "logits"};
  EXPECT_TRUE(at::allclose(as_scores(logits, input, true), at::softmax(logits, 1)));
  EXPECT_TRUE(at::allclose(as_scores(logits, input, false), at::sigmoid(logits)));
}

TEST_F(StackJobTest, DistancesBecomeScoresByTheFormulaThatTheirKindNames) {
  const auto scores = [](std::vector<double> distances, const char* kind, double parameter) {
    const at::Tensor d = at::tensor(distances, at::kDouble).unsqueeze(0);
    const EnsembleInput input{.path = "d.csv", .kind = kind, .parameter = parameter};
    const at::Tensor row = as_scores(d, input, true)[0].contiguous();
    return std::vector<double>(row.data_ptr<double>(), row.data_ptr<double>() + row.numel());
  };
  const std::vector<double> published = {1, .746064, .655055, .612744, .574291, .449811};
  const auto nested = scores({0, .5, 1, std::sqrt(2.0), 2, 10}, "distances_nested_log", 1);
  for (size_t i = 0; i < published.size(); ++i) EXPECT_NEAR(nested[i], published[i], 1e-6);
  EXPECT_THAT(scores({0, 1, 3}, "distances_inverse", 1), ElementsAre(1, 0.5, 0.25));
  const auto soft = scores({0, 1}, "distances_softmax", 0.5);
  EXPECT_NEAR(soft[0], 1 / (1 + std::exp(-2.0)), 1e-12);
  EXPECT_NEAR(soft[0] + soft[1], 1, 1e-12);
  const auto student = scores({0, 1}, "distances_student_t", 1);
  EXPECT_NEAR(student[0], 2.0 / 3, 1e-12);
  // The Gaussian's σ is the row's own: the entropy of its scores is the perplexity's logarithm.
  double entropy = 0;
  for (const double p : scores({.1, .4, .5, 2}, "distances_gaussian", 2.5))
    entropy -= p * std::log(p);
  EXPECT_NEAR(entropy, std::log(2.5), 1e-4);
  expect_error(ErrorKind::kConfiguration, {"d.csv", "perplexity", "2"}, [&] {
    (void)scores({0, 1}, "distances_gaussian", 1);
  });
}

TEST_F(StackJobTest, LogitsOfSeveralColumnsNeedLabels) {
  StackJob two = job({write("two.csv", "id,a,b\ns0,1,2\ns1,2,1\n")});
  two.inputs[0].kind = "logits";
  expect_error(ErrorKind::kConfiguration, {"two.csv", "logits of 2 columns"},
               [&] { (void)run_stack_job(two); });
  StackJob one = job({write("one.csv", "id,a\ns0,1\ns1,2\n")});
  one.inputs[0].kind = "logits";
  (void)run_stack_job(one);
}

TEST_F(StackJobTest, Hdf5TablesNameTheRowOfABadFold) {
  EXPECT_THAT(read_score_table(hdf5("good.h5", {0, 1}, {"a", "b"}), "").folds, ElementsAre(0, 1));
  for (const int64_t fold : {int64_t{-1}, int64_t{1000000000000}}) {
    expect_error(ErrorKind::kData, {"bad.h5", "row 1", fmt::format("{}", fold)}, [&] {
      (void)read_score_table(hdf5("bad.h5", {0, fold}, {"a", "b"}), "");
    });
  }
}

TEST_F(StackJobTest, Hdf5TablesNameAColumnThatOccursTwice) {
  expect_error(ErrorKind::kData, {"twice.h5", "'a' twice"}, [&] {
    (void)read_score_table(hdf5("twice.h5", {0, 1}, {"a", "a"}), "");
  });
}

TEST_F(StackJobTest, ModelsAreNotNamedLikeCombinations) {
  StackJob clash = job({table("resnet.csv"), table("stack.csv", 0.1)});
  clash.labels = labels();
  expect_error(ErrorKind::kConfiguration, {"stack.csv", "'stack'"},
               [&] { (void)load_stack(clash); });
  clash.inputs[1].name = "other";
  EXPECT_THAT(load_stack(clash).input.models, ElementsAre("resnet", "other"));
}

TEST_F(StackJobTest, RunsThatShareABackboneAreToldApartByTheirFolders) {
  EXPECT_THAT(load_stack(job({run("planet", "resnet18")})).input.models, ElementsAre("resnet18"));
  const std::string dehazed = run("dehazed", "resnet18") + "/";
  EXPECT_THAT(load_stack(job({run("planet", "resnet18"), dehazed})).input.models,
              ElementsAre("planet/resnet18", "dehazed/resnet18"));
}

TEST_F(StackJobTest, TablesWithoutAWholeFoldAreRefusedOrDropped) {
  std::string without_fold = "id,fold,a,b\n", without_row = without_fold;
  for (int i = 0; i < 8; ++i) {
    const std::string row = fmt::format("s{},{},0.{},0.3\n", i, i % 2, i);
    if (i % 2 == 0) without_fold += row;
    if (i != 3) without_row += row;
  }
  StackJob half = job({write("half.csv", without_fold), table("whole.csv")});
  half.labels = labels();
  expect_error(ErrorKind::kData, {"whole.csv"}, [&] { (void)load_stack(half); });
  half.stacking.missing_models = "drop";
  const LoadedStack loaded = load_stack(half);
  EXPECT_THAT(loaded.input.models, ElementsAre("whole"));
  EXPECT_EQ(loaded.input.ids.size(), 8u);
  EXPECT_THAT(loaded.warnings,
              ::testing::Contains("half has no predictions for fold 1 and is left out"));
  StackJob holed = job({write("holed.csv", without_row), table("whole.csv")});
  holed.labels = labels();
  holed.stacking.missing_models = "drop";
  expect_error(ErrorKind::kData, {"whole.csv", "s3"}, [&] { (void)load_stack(holed); });
}

TEST_F(StackJobTest, OneSpoiltRowDoesNotTurnNumbersIntoWords) {
  expect_error(ErrorKind::kData, {"nan.csv", "line 2"},
               [&] { (void)run_stack_job(job({write("nan.csv", "id,p\ns0,nan\ns1,0.5\n")})); });
  expect_error(ErrorKind::kData, {"word.csv", "line 2", "line 3"},
               [&] { (void)run_stack_job(job({write("word.csv", "id,p\ns0,high\ns1,0.5\n")})); });
}

// Out-of-fold tables were averaged into a "submission" where --labels had been forgotten.
TEST_F(StackJobTest, OutOfFoldTablesAreNoSubmissions) {
  const auto refused = [&](ErrorKind kind, const StackJob& job, const std::string& what) {
    expect_error(kind, {what}, [&] { (void)run_stack_job(job); });
    EXPECT_FALSE(std::filesystem::exists(job.output));
  };
  refused(ErrorKind::kData, job({table("oof.csv")}), "oof.csv has folds");
  refused(ErrorKind::kData, job({hdf5("oof.h5", {0, 1}, {"a", "b"})}), "oof.h5 has folds");
  const StackJob plain = job({write("p.csv", "name,p\ns0,0.25\ns1,0.5\n")});
  StackJob changed = plain;
  changed.inputs[0].test = changed.inputs[0].path;
  refused(ErrorKind::kConfiguration, changed, "inputs[].test");
  changed = plain;
  changed.folds_from = "folds.csv";
  refused(ErrorKind::kConfiguration, changed, "folds_from");
  changed = plain;
  changed.submit = "mean";
  changed.submission.id = "image_name";
  refused(ErrorKind::kConfiguration, changed, "submit, submission.id");
}

TEST_F(StackJobTest, CombinedNumbersKeepTheHeadingOfTheFirstFile) {
  StackJob numbers = job(
      {write("a.csv", "name,p\ns0,0.25\ns1,0.5\n"), write("b.csv", "image,p\ns1,0.5\ns0,0.75\n")});
  (void)run_stack_job(numbers);
  EXPECT_EQ(read_file(folder_ / "out/submission.csv"), "name,p\ns0,0.5\ns1,0.5\n");
  numbers.as = "scores";
  (void)run_stack_job(numbers);
  EXPECT_EQ(read_file(folder_ / "out/submission.csv"), "name,labels\ns0,p\ns1,p\n");
}

TEST_F(StackJobTest, WordsNeedWeights) {
  StackJob voted = job({write("a.csv", "id,tags\ns0,x y\ns1,x\n")});
  voted.inputs.push_back(voted.inputs[0]);
  for (const char* kind : {"tags", "lists"}) {
    voted.as = kind;
    voted.inputs[0].weight = voted.inputs[1].weight = 0;
    expect_error(ErrorKind::kConfiguration, {"all weights"}, [&] { (void)run_stack_job(voted); });
    voted.inputs[0].weight = 3;
    (void)run_stack_job(voted);
  }
}

TEST_F(StackJobTest, ARerunWithoutTestSetLeavesNoTestPredictionsOfAnEarlierOne) {
  StackJob job = this->job({table("first.csv"), table("second.csv", 0.1)});
  job.labels = labels();
  job.submit = "mean";
  job.resamples = job.simulations = 10;
  StackJob with_test = job;
  for (EnsembleInput& input : with_test.inputs) input.test = input.path;
  const std::filesystem::path out(job.output);
  (void)run_stack_job(with_test);
  for (const char* name : {"oof.csv", "test.csv", "submission.csv", "scores.json"}) {
    ASSERT_TRUE(std::filesystem::exists(out / name)) << name;
    EXPECT_LE(std::filesystem::last_write_time(out / name),
              std::filesystem::last_write_time(out / "stack.json"))
        << name;
  }
  (void)run_stack_job(job);
  for (const char* name : {"test.csv", "submission.csv"})
    EXPECT_FALSE(std::filesystem::exists(out / name)) << name;
  for (const char* name : {"oof.csv", "scores.json", "stack.json"})
    EXPECT_TRUE(std::filesystem::exists(out / name)) << name;
}

TEST_F(StackJobTest, ThePageHoldsTheVerdictAndEveryCandidate) {
  StackJob two = job({table("first.csv"), table("second.csv", 0.1)});
  two.inputs[1].name = "<b>second & last</b>";
  two.labels = labels();
  two.resamples = two.simulations = 10;
  (void)run_stack_job(two);
  const auto read = [&](const char* name) {
    std::ifstream file(std::filesystem::path(two.output) / name);
    return std::string{std::istreambuf_iterator<char>(file), {}};
  };
  const std::string page = read("stack.html");
  for (const char* name : {"first", "&lt;b&gt;second &amp; last&lt;/b&gt;", "mean", "geometric",
                           "rank", "vote", "stable", "greedy", "blend", "ridge level 1", "stack"})
    EXPECT_THAT(page, HasSubstr(fmt::format("<th scope=\"row\">{}</th>", name)));
  EXPECT_THAT(page, ::testing::Not(HasSubstr("<b>second")));
  for (const char* part : {"id=\"second-stage\"", "the best model", "random public halves",
                           ">F2</th>", ">At 0.2</th>"})
    EXPECT_THAT(page, HasSubstr(part));
  EXPECT_THAT(page, ::testing::AnyOf(HasSubstr("The stack "), HasSubstr("The second stage does")));
}

/// Twenty samples of one label; the second model stays below 0.5 for all of them.
LoadedStack one_label() {
  LoadedStack loaded;
  StackInput& input = loaded.input;
  input.models = {"bold", "shy"};
  input.labels = {"a"};
  std::vector<double> bold, shy, truth;
  for (int i = 0; i < 20; ++i) {
    input.ids.push_back(fmt::format("s{}", i));
    input.folds.push_back(i % 4 / 2);
    truth.push_back(i % 2);
    bold.push_back(i % 2 ? 0.9 : 0.1 + i / 100.0);
    shy.push_back(i % 2 ? 0.4 : 0.2 + i / 100.0);
  }
  input.targets_NL = at::tensor(truth, at::kDouble).reshape({20, 1});
  input.oof_MNL = at::tensor(bold, at::kDouble).reshape({20, 1});
  input.oof_MNL = at::stack({input.oof_MNL, at::tensor(shy, at::kDouble).reshape({20, 1})});
  loaded.weights = {1, 1};
  return loaded;
}

TEST_F(StackJobTest, TheVoteOnOneLabelHeedsItsShareAndTies) {
  StackJob job;
  job.resamples = job.simulations = 10;
  EXPECT_DOUBLE_EQ(judge(one_label(), job).find("vote").score.value, 1.0);
  job.vote = 0.6;
  EXPECT_DOUBLE_EQ(judge(one_label(), job).find("vote").score.value, 0.5);
}

/// Twelve samples of two skies and a road, which both models see; they disagree about the skies of
/// every third sample.
LoadedStack two_skies() {
  LoadedStack loaded;
  StackInput& input = loaded.input;
  input.models = {"cloud", "fog"};
  input.labels = {"cloudy", "haze", "road"};
  input.targets_NL = at::zeros({12, 3}, at::kDouble);
  input.oof_MNL = at::full({2, 12, 3}, 0.1, at::kDouble);
  for (int i = 0; i < 12; ++i) {
    input.ids.push_back(fmt::format("s{}", i));
    input.folds.push_back(i % 4 / 2);
    input.targets_NL[i][i % 2] = 1;
    input.targets_NL[i][2] = 1;
    for (int m = 0; m < 2; ++m) {
      input.oof_MNL[m][i][i % 3 ? i % 2 : m] = 0.9;
      input.oof_MNL[m][i][2] = 0.8;
    }
  }
  input.test_ids = input.ids;
  input.test_MTL = input.oof_MNL;
  loaded.weights = {1, 1};
  return loaded;
}

// Two models that disagreed about the sky put two skies into the submission.
TEST_F(StackJobTest, TheVoteChoosesOneLabelOfAnExclusiveGroup) {
  StackJob job;
  job.resamples = job.simulations = 10;
  job.submit = "vote";
  job.thresholds.exclusive = {{"cloudy", "haze"}};
  for (const double least : {0.5, 0.9}) {
    job.vote = least;
    const StackVerdict verdict = judge(two_skies(), job);
    const Contestant& vote = verdict.find("vote");
    for (const at::Tensor& decided : {vote.decided_NL, vote.decided_TL}) {
      EXPECT_TRUE(decided.narrow(1, 0, 2).sum(1).eq(1).all().item<bool>()) << decided;
      EXPECT_TRUE(decided.select(1, 2).all().item<bool>());
    }
  }
}

// The column "at 0.2" held the score at the thresholds that were found.
TEST_F(StackJobTest, TheVoteAtTheStartIsAVoteOfDecisionsAtTheStart) {
  LoadedStack loaded = two_skies();
  loaded.input.oof_MNL = loaded.input.oof_MNL * 0.2;  // nothing is above 0.2
  StackJob job;
  job.resamples = job.simulations = 10;
  const StackVerdict verdict = judge(loaded, job);
  EXPECT_EQ(verdict.find("vote").at_start, 0);
  EXPECT_GT(verdict.find("vote").score.value, 0.5);
}

TEST_F(StackJobTest, StableModelsDoNotSwingBetweenHalves) {
  LoadedStack loaded;
  StackInput& input = loaded.input;
  input.models = {"swinging", "steady", "steady too"};
  input.labels = {"a", "b", "c"};
  input.targets_NL = at::ones({30, 3}, at::kDouble);
  input.oof_MNL = at::full({3, 30, 3}, 0.01, at::kDouble);
  for (int i = 0; i < 30; ++i) {
    input.ids.push_back(fmt::format("s{}", i));
    input.folds.push_back(i % 2);
    if (i % 6 < 4) input.oof_MNL[0][i] = 0.9;  // all right or all wrong
    for (int m = 1; m < 3; ++m) input.oof_MNL[m][i][0] = i > 0 ? 0.9 : 0.01;
  }
  loaded.weights = {1, 1, 1};
  StackJob job;
  job.resamples = job.simulations = 200;
  EXPECT_THAT(judge(loaded, job).stable, ElementsAre("steady too"));
  job.stability_spread = 1e9;
  job.stability = 0;
  EXPECT_EQ(judge(loaded, job).stable.front(), "swinging");
}

}  // namespace
}  // namespace baleen
