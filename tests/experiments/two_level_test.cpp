#include "experiments/stacking/two_level.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>

#include <sstream>

#include "core/base/error.h"
#include "core/metrics/metrics.h"
#include "experiments/stacking/save_stack.h"
#include "experiments/stacking/thresholds.h"
#include "tests/experiments/oracle.h"

namespace baleen {
namespace {

double mean_f_beta(const at::Tensor& predicted_NL, const at::Tensor& targets_NL) {
  return sample_f_beta(targets_NL, predicted_NL, 2);
}

at::Tensor uniform(at::IntArrayRef shape, uint64_t seed) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  return at::rand(shape, generator, at::kDouble);
}

/// Four labels of which the second nearly always equals the first; M models that see them through
/// noise.
StackInput synthetic(int64_t num_models, int64_t num_samples, double signal, uint64_t seed) {
  StackInput input;
  at::Tensor y = (uniform({num_samples, 4}, seed) < at::tensor({.5, .5, .25, .1})).to(at::kDouble);
  y.select(1, 1).copy_(
      at::where(uniform({num_samples}, seed + 1) < .92, y.select(1, 0), y.select(1, 1)));
  // No sample without labels: such a sample scores 0 whatever is predicted.
  y.select(1, 2).copy_(
      at::where(y.sum(1) == 0, at::ones({num_samples}, at::kDouble), y.select(1, 2)));
  input.targets_NL = y;
  std::vector<at::Tensor> p;
  for (int64_t m = 0; m < num_models; ++m) {
    input.models.push_back(fmt::format("model{}", m));
    p.push_back((y * signal + (1 - signal) * uniform({num_samples, 4}, seed + 10 + m)).clamp(0, 1));
  }
  input.oof_MNL = at::stack(p);
  input.labels = {"a", "b", "c", "d"};
  for (int64_t i = 0; i < num_samples; ++i) {
    input.ids.push_back(fmt::format("s{}", i));
    input.folds.push_back((i * 7) % 5);
  }
  return input;
}

double best_f2(const at::Tensor& scores, const StackInput& input) {
  return cross_fit_thresholds(scores, input.targets_NL, input.folds, {}).score;
}

void expect_error(const StackInput& input, const StackOptions& options, ErrorKind kind,
                  const std::vector<std::string>& words) {
  try {
    fit_stack(input, options);
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    for (const std::string& word : words) {
      EXPECT_NE(error.message().find(word), std::string::npos) << error.message();
    }
  }
}

TEST(TwoLevelStack, RaisesF2OnCorrelatedLabels) {
  for (const double signal : {0.6, 0.3}) {
    const StackInput input = synthetic(3, 600, signal, 1);
    const StackResult result = fit_stack(input, {});
    const at::Tensor at_start = apply_thresholds(input.oof_MNL[0], std::vector<double>(4, .2));
    const at::Tensor stacked = apply_thresholds(result.oof_NL, std::vector<double>(4, .2));
    EXPECT_GT(mean_f_beta(stacked, input.targets_NL),
              mean_f_beta(at_start, input.targets_NL) + .01);
    double best_single = 0;
    for (int64_t m = 0; m < 3; ++m)
      best_single = std::max(best_single, best_f2(input.oof_MNL[m], input));
    const double mean = best_f2(input.oof_MNL.mean(0), input);
    const double stack = best_f2(result.oof_NL, input);
    std::printf("signal %.1f: best single F2 %.4f, mean %.4f, stack %.4f\n", signal, best_single,
                mean, stack);
    // The stronger signal separates the labels altogether: a single model cannot be beaten.
    EXPECT_GE(stack, best_single - .002);
    if (signal < .5) {
      EXPECT_GT(stack, best_single + .03);
      EXPECT_GT(stack, mean + .01);
    }
  }
}

// A sample's stacked score may depend on its own fold's targets only through the other folds' first
// level, never by a fit that contains the sample itself.
TEST(TwoLevelStack, EachFoldIsPredictedByFitsThatNeverSawIt) {
  const StackInput input = synthetic(2, 200, 0.4, 3);
  const StackResult before = fit_stack(input, {}, true);
  StackInput changed = input;
  changed.targets_NL = input.targets_NL.clone();
  for (int64_t i = 0; i < 200; ++i) {
    if (input.folds[static_cast<size_t>(i)] == 2)
      changed.targets_NL[i].copy_(1 - input.targets_NL[i]);
  }
  const StackResult after = fit_stack(changed, {}, true);
  for (int64_t i = 0; i < 200; ++i) {
    const bool same =
        at::equal(before.level1_oof_MNL.select(1, i), after.level1_oof_MNL.select(1, i));
    EXPECT_EQ(same, input.folds[static_cast<size_t>(i)] == 2) << i;
  }
  // The fit without fold 2 saw none of its targets at level 1; its level 2 was fitted on the other
  // folds' rows alone.
  EXPECT_TRUE(at::equal(before.by_fold_K[2].level1_M[0].weights_DK,
                        after.by_fold_K[2].level1_M[0].weights_DK));
  EXPECT_FALSE(at::equal(before.by_fold_K[1].level1_M[0].weights_DK,
                         after.by_fold_K[1].level1_M[0].weights_DK));
}

TEST(TwoLevelStack, TestPredictionsAreTheMeanOfTheFoldsFits) {
  StackInput input = synthetic(2, 100, 0.4, 5);
  input.test_MTL = uniform({2, 3, 4}, 9);
  input.test_ids = {"t0", "t1", "t2"};
  const StackResult result = fit_stack(input, {});
  at::Tensor expected = at::zeros({3, 4}, at::kDouble);
  for (const StackFit& fit : result.by_fold_K) {
    for (int64_t l = 0; l < 4; ++l) {
      at::Tensor q_TM = at::stack({predict(fit.level1_M[0], input.test_MTL[0]).select(1, l),
                                   predict(fit.level1_M[1], input.test_MTL[1]).select(1, l)},
                                  1);
      expected.select(1, l) += predict(fit.level2_L[static_cast<size_t>(l)], q_TM).squeeze(1) / 5;
    }
  }
  EXPECT_LE(testing::worst_difference(result.test_TL, expected), 1e-14);
  const StackResult refit = fit_stack(input, {.test = "refit"});
  ASSERT_TRUE(refit.refit.has_value());
  EXPECT_TRUE(at::equal(refit.oof_NL, result.oof_NL));
  const double apart = testing::worst_difference(refit.test_TL, result.test_TL);
  EXPECT_GT(apart, 0);
  EXPECT_LT(apart, .2);
}

TEST(TwoLevelStack, SingleClassDataRaisesAccuracy) {
  StackInput input = synthetic(1, 900, .5, 0);
  const at::Tensor classes = (uniform({900}, 50) * 3).floor().to(at::kLong);
  input.targets_NL = at::one_hot(classes, 3).to(at::kDouble);
  input.labels = {"x", "y", "z"};
  input.models = {"good", "noise"};
  input.oof_MNL = at::stack({at::softmax(2 * input.targets_NL + 3 * uniform({900, 3}, 51), 1),
                             at::softmax(6 * uniform({900, 3}, 52), 1)});
  const auto accuracy = [&](const at::Tensor& scores) {
    return (scores.argmax(1) == classes).to(at::kDouble).mean().item<double>();
  };
  const double mean = accuracy(input.oof_MNL.mean(0));
  for (const char* inputs : {"probabilities", "logits"}) {
    const StackResult result = fit_stack(input, {.inputs = inputs});
    const double stack = accuracy(result.oof_NL);
    std::printf("%s: accuracy %.4f and %.4f alone, mean %.4f, stack %.4f\n", inputs,
                accuracy(input.oof_MNL[0]), accuracy(input.oof_MNL[1]), mean, stack);
    EXPECT_GT(stack, mean);
    EXPECT_GT(result.weights_ML[0].min().item<double>(),
              result.weights_ML[1].abs().max().item<double>());
  }
}

TEST(TwoLevelStack, DuplicateModelsNeedNoPenalty) {
  StackInput input = synthetic(2, 100, .4, 8);
  input.oof_MNL = at::stack({input.oof_MNL[0], input.oof_MNL[0]});
  const StackResult result = fit_stack(input, {.alphas = {0}});
  EXPECT_TRUE(at::isfinite(result.oof_NL).all().item<bool>());
  EXPECT_LE(testing::worst_difference(result.weights_ML[0], result.weights_ML[1]), 1e-10);
}

TEST(TwoLevelStack, ConstantLabelsAreFlagged) {
  StackInput input = synthetic(2, 100, .4, 8);
  input.targets_NL.select(1, 3).zero_();
  for (int64_t i = 0; i < 100; ++i) {  // label c occurs in fold 1 only
    if (input.folds[static_cast<size_t>(i)] != 1) input.targets_NL[i][2] = 0;
  }
  const StackResult result = fit_stack(input, {});
  ASSERT_EQ(result.constant_labels.size(), 2u);
  EXPECT_EQ(result.constant_labels[0].label, 3);
  EXPECT_EQ(result.constant_labels[0].fold, -1);
  EXPECT_EQ(result.constant_labels[1].label, 2);
  EXPECT_EQ(result.constant_labels[1].fold, 1);
  EXPECT_LE(result.oof_NL.select(1, 3).abs().max().item<double>(), 1e-12);
  const Thresholds thresholds = search_thresholds(result.oof_NL, input.targets_NL, {});
  EXPECT_EQ(thresholds.values_L[3], 1.0);

  const StackResult mean = fit_stack(input, {.constant_labels = "mean"});
  EXPECT_TRUE(at::allclose(mean.oof_NL.select(1, 3), input.oof_MNL.mean(0).select(1, 3)));
}

TEST(TwoLevelStack, BadPredictionsAreNamed) {
  StackInput input = synthetic(2, 100, .4, 8);
  input.oof_MNL[1][42][3] = NAN;
  expect_error(input, {}, ErrorKind::kNumeric, {"model1", "s42"});
  input.oof_MNL[1][42][3] = INFINITY;
  expect_error(input, {}, ErrorKind::kNumeric, {"model1", "s42"});
  input.oof_MNL[1][42][3] = 0.5;
  input.test_MTL = at::full({2, 1, 4}, 0.5, at::kDouble);
  input.test_MTL[0][0][2] = NAN;
  input.test_ids = {"t7"};
  expect_error(input, {}, ErrorKind::kNumeric, {"model0", "t7"});
  input.targets_NL[3][1] = 0.5;
  expect_error(input, {}, ErrorKind::kData, {"s3", "b"});
}

TEST(TwoLevelStack, MissingFoldsAreRefusedOrTheModelDropped) {
  StackInput input = synthetic(3, 100, .4, 8);
  for (int64_t i = 0; i < 100; ++i) {
    if (input.folds[static_cast<size_t>(i)] == 4) input.oof_MNL[1][i].fill_(NAN);
  }
  expect_error(input, {}, ErrorKind::kData, {"model1", "fold 4"});
  const StackResult result = fit_stack(input, {.missing_models = "drop"});
  EXPECT_EQ(result.models, (std::vector<std::string>{"model0", "model2"}));
  EXPECT_EQ(result.dropped, std::vector<std::string>{"model1"});
  EXPECT_TRUE(at::isfinite(result.oof_NL).all().item<bool>());
  input.folds.assign(100, 0);
  expect_error(input, {}, ErrorKind::kData, {"fold 0"});
}

TEST(TwoLevelStack, FitsThatLeaveTwoFoldsOutNeedThree) {
  StackInput input = synthetic(2, 100, .4, 8);
  for (size_t i = 0; i < 100; ++i) input.folds[i] = static_cast<int64_t>(i % 2);
  expect_error(input, {.nested = true}, ErrorKind::kConfiguration, {"stacking.nested", "three"});
  for (const char* by : {"metric", "leave_one_fold_out"})
    expect_error(input, {.alpha_by = by}, ErrorKind::kConfiguration, {"stacking.alpha_by"});
  fit_stack(input, {.alphas = {10}, .alpha_by = "metric"});
  for (size_t i = 0; i < 100; ++i) input.folds[i] = static_cast<int64_t>(i % 3);
  fit_stack(input, {.alphas = {1, 10}, .alpha_by = "metric", .nested = true});
}

TEST(TwoLevelStack, IsTheSameToTheBitOnAnyNumberOfThreads) {
  const StackInput input = synthetic(5, 6000, .3, 8);
  const int before = at::get_num_threads();
  for (const bool nested : {false, true}) {
    at::set_num_threads(1);
    const StackResult alone = fit_stack(input, {.nested = nested});
    for (const int threads : {2, 4, 4, 4}) {
      at::set_num_threads(threads);
      const StackResult together = fit_stack(input, {.nested = nested});
      EXPECT_TRUE(at::equal(together.oof_NL, alone.oof_NL)) << threads;
      EXPECT_TRUE(at::equal(together.weights_ML, alone.weights_ML)) << threads;
    }
  }
  at::set_num_threads(before);
}

TEST(TwoLevelStack, StopsWithinItsFits) {
  const StackInput input = synthetic(3, 200, .4, 8);
  for (const char* alpha_by : {"leave_one_out", "leave_one_fold_out", "metric"}) {
    const StackOptions options{.alphas = {1, 10}, .alpha_by = alpha_by, .nested = true};
    int calls = 0;
    const StackResult whole = fit_stack(input, options, false, {}, [&] { ++calls; });
    EXPECT_TRUE(at::equal(whole.oof_NL, fit_stack(input, options).oof_NL));
    EXPECT_GT(calls, 20);
    for (const int last : {1, calls / 4}) {
      int left = last;
      const auto stop = [&left] {
        if (--left <= 0) throw Error(ErrorKind::kInterrupted, "a signal asked the run to stop");
      };
      try {
        fit_stack(input, options, false, {}, stop);
        ADD_FAILURE() << alpha_by << " went on after call " << last;
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kInterrupted);
      }
    }
  }
}

TEST(TwoLevelStack, SavedFilesHoldTheResult) {
  StackInput input = synthetic(2, 50, .4, 8);
  input.ids[0] = "a,\"b\"";
  input.test_MTL = uniform({2, 2, 4}, 1);
  input.test_ids = {"t0", "t1"};
  const StackResult result = fit_stack(input, {.test = "refit"});
  const testing::TemporaryDirectory folder;
  save_stack(result, input, folder / "stack");
  const auto saved = nlohmann::json::parse(std::ifstream(folder / "stack/stack.json"));
  EXPECT_EQ(saved["models"].get<std::vector<std::string>>(), result.models);
  EXPECT_EQ(saved["without_fold"].size(), 5u);
  EXPECT_EQ(testing::worst_difference(
                testing::tensor_of(saved["without_fold"][3]["level1"]["model1"]["weights"]),
                result.by_fold_K[3].level1_M[1].weights_DK),
            0);
  EXPECT_EQ(saved["refit"]["level2"]["c"]["intercept"].get<double>(),
            result.refit->level2_L[2].intercept_K.item<double>());
  std::ifstream table(folder / "stack/oof.csv");
  std::string line;
  std::getline(table, line);
  EXPECT_EQ(line, "id,fold,a,b,c,d");
  std::getline(table, line);
  EXPECT_EQ(line.rfind("\"a,\"\"b\"\"\",0,", 0), 0u) << line;
  EXPECT_EQ(std::stod(line.substr(line.find(",0,") + 3)), result.oof_NL[0][0].item<double>());
  EXPECT_TRUE(std::filesystem::exists(folder / "stack/test.csv"));
  EXPECT_EQ(saved["options"]["calibration"], "none");
  save_scores(input, result.oof_NL, {}, folder / "stack");
  for (const char* earlier : {"stack/test.csv", "stack/stack.json"})
    EXPECT_FALSE(std::filesystem::exists(folder / earlier)) << earlier;
  std::ofstream(folder / "file") << "x";
  EXPECT_THROW(save_stack(result, input, folder / "file"), Error);
}

std::vector<std::vector<std::string>> read_csv(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::vector<std::vector<std::string>> rows;
  for (std::string line; std::getline(file, line);) {
    if (line.ends_with('\r')) line.pop_back();
    std::vector<std::string>& row = rows.emplace_back();
    std::stringstream cells(line);
    for (std::string cell; std::getline(cells, cell, ',');) row.push_back(cell);
  }
  return rows;
}

TEST(TwoLevelStack, EqualsScikitLearnOnThreeNetworksForPlanet) {
  const auto planet = testing::real_data() / "planet";
  if (testing::real_data().empty()) GTEST_SKIP() << "no real data (BALEEN_DATA)";
  StackInput input;
  std::map<std::string, std::string> tags;
  for (const auto& row : read_csv(planet / "labels.csv")) tags[row[0]] = " " + row[1] + " ";
  std::vector<at::Tensor> tables;
  for (const char* name : {"simplenet5m", "resnet18", "densenet121"}) {
    const auto rows = read_csv(planet / "oof_reference" / (std::string(name) + ".csv"));
    input.models.push_back(name);
    at::Tensor p = at::zeros({static_cast<int64_t>(rows.size()) - 1, 17}, at::kDouble);
    if (input.ids.empty()) {
      input.labels.assign(rows[0].begin() + 2, rows[0].end());
      input.targets_NL = at::zeros_like(p);
    }
    for (size_t i = 1; i < rows.size(); ++i) {
      const auto n = static_cast<int64_t>(i) - 1;
      if (tables.empty()) {
        input.ids.push_back(rows[i][0]);
        input.folds.push_back(std::stoll(rows[i][1]));
      }
      ASSERT_EQ(input.ids[i - 1], rows[i][0]);
      for (int64_t l = 0; l < 17; ++l) {
        const auto label = static_cast<size_t>(l);
        p[n][l] = std::stod(rows[i][label + 2]);
        input.targets_NL[n][l] =
            tags[rows[i][0]].find(" " + input.labels[label] + " ") != std::string::npos;
      }
    }
    tables.push_back(p);
  }
  input.oof_MNL = at::stack(tables);
  ASSERT_EQ(input.ids.size(), 797u);
  double best_single = 0;
  for (int64_t m = 0; m < 3; ++m) {
    const double f2 = best_f2(input.oof_MNL[m], input);
    std::printf("%-12s F2 %.5f\n", input.models[static_cast<size_t>(m)].c_str(), f2);
    best_single = std::max(best_single, f2);
  }
  const double mean = best_f2(input.oof_MNL.mean(0), input);
  std::printf("%-12s F2 %.5f\n", "mean", mean);
  for (const char* inputs : {"logits", "probabilities"}) {
    const StackResult result = fit_stack(input, {.inputs = inputs});
    const double f2 = best_f2(result.oof_NL, input);
    std::printf("stack of %s: F2 %.5f (%+.5f over the best network, %+.5f over the mean)\n", inputs,
                f2, f2 - best_single, f2 - mean);
    if (inputs != std::string("probabilities")) continue;
    // 797 images are few for 17 x 17 weights: here the stack does not gain, and must not lose much.
    EXPECT_GT(f2, best_single - .015);
    const auto oracle = testing::ask_oracle("stack_planet.py", planet.string());
    if (!oracle) GTEST_SKIP() << "BALEEN_PYTHON is not set";
    ASSERT_EQ((*oracle)["labels"].get<std::vector<std::string>>(), input.labels);
    const double worst =
        testing::worst_difference(result.oof_NL, testing::tensor_of((*oracle)["stacked"]));
    std::printf("worst difference of a stacked score to scikit-learn: %.2e\n", worst);
    EXPECT_LE(worst, 1e-10);
  }
}

}  // namespace
}  // namespace baleen
