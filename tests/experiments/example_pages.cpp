// Writes every kind of page that Baleen makes, from made-up data, into a folder: for
// tests/end_to_end/pages.py, which opens them in a browser. usage: example_pages DIR

#include <ATen/ATen.h>

#include <cstdio>

#include "core/base/atomic_file.h"
#include "experiments/analysis/analysis_page.h"
#include "experiments/analysis/compare_runs.h"
#include "experiments/ensemble/verdict_page.h"
#include "experiments/explain/explain_page.h"
#include "experiments/gallery/match_page.h"
#include "experiments/report/report.h"
#include "tests/experiments/large_report.h"

namespace baleen {
namespace {

using testing::busy_image;
using testing::busy_picture;
using testing::example_report;
using testing::large_report;

const std::vector<std::string> kLabels = {"agriculture", "artisinal_mine",    "clear", "cloudy",
                                          "cultivation", "habitation",        "haze",  "primary",
                                          "road",        "selective_logging", "water"};

/// Three models of different strength on 300 samples, whose first ids are long.
LoadedStack example_stack() {
  constexpr int64_t kModels = 3, kSamples = 300;
  const auto num_labels = static_cast<int64_t>(kLabels.size());
  at::manual_seed(5);
  LoadedStack loaded;
  StackInput& input = loaded.input;
  input.models = {"simplenet", "resnet18-dehazed-with-a-name-as-long-as-they-come", "densenet121"};
  input.labels = kLabels;
  const at::Tensor shares = at::linspace(0.03, 0.9, num_labels, at::kDouble);
  input.targets_NL = (at::rand({kSamples, num_labels}, at::kDouble) < shares).to(at::kDouble);
  input.targets_NL.select(1, 3) *= 1 - input.targets_NL.select(1, 2);  // cloudy or clear
  input.targets_NL.select(1, 6) *= 1 - input.targets_NL.select(1, 2);
  std::vector<at::Tensor> models;
  for (int64_t m = 0; m < kModels; ++m) {
    const at::Tensor noise = at::randn({kSamples, num_labels}, at::kDouble);
    models.push_back(at::sigmoid((input.targets_NL * 2 - 1) * (1.0 + 0.4 * double(m)) + noise));
  }
  input.oof_MNL = at::stack(models);
  for (int64_t i = 0; i < kSamples; ++i) {
    input.ids.push_back(i % 7 ? fmt::format("train_{}", i)
                              : fmt::format("a/folder/deep/in/the/tree/photograph_{:024d}", i));
    input.folds.push_back(i % 5);
  }
  loaded.weights = {1, 1, 1};
  return loaded;
}

PageSection example_verdict() {
  const LoadedStack loaded = example_stack();
  const StackJob job{.resamples = 100, .simulations = 100};
  return verdict_section(judge(loaded, job), loaded, job);
}

std::string example_stack_page() {
  LoadedStack loaded = example_stack();
  loaded.fold_source = "the inputs";
  loaded.warnings = {"densenet121 predicts the same for every sample in 1 of 11 columns: haze"};
  const StackJob job{.resamples = 100, .simulations = 100};
  return render_verdict(judge(loaded, job), loaded, job);
}

Analysis example_analysis() {
  Analysis analysis = analyse(example_stack(), {.resamples = 100, .simulations = 100}, 12);
  for (int fold = 0; fold < 5; ++fold)
    analysis.learning.push_back({fmt::format("resnet18-f{}-s1", fold),
                                 18,
                                 9 + fold,
                                 16,
                                 .88,
                                 .91,
                                 -.7,
                                 {.31, .24, .22 + .01 * fold},
                                 {.8, .88, .91}});
  return analysis;
}

std::vector<PageSection> example_sections() {
  const Analysis analysis = example_analysis();
  SamplePictures pictures;
  for (size_t i = 0; i < analysis.confusing.size(); ++i)
    pictures[analysis.confusing[i].id] = busy_picture(160, i);
  return analysis_sections(analysis, pictures);
}

ExplainPage example_explanation(const std::string& network, int64_t images) {
  ExplainPage page{.network = network,
                   .source = "runs/planet/chains/" + network + "-f0-s1/weights.safetensors",
                   .methods = {"gradcam", "saliency", "smoothgrad", "guided"}};
  for (int64_t i = 0; i < images; ++i) {
    ExplainRow& row = page.rows.emplace_back(
        ExplainRow{.image = fmt::format("train_{}", 40000 + i),
                   .truth = "agriculture clear habitation primary road water",
                   .label = kLabels[static_cast<size_t>(i) % kLabels.size()],
                   .probability = 0.137 * double(i % 7)});
    for (size_t m = 0; m <= page.methods.size(); ++m)
      row.pictures.push_back(busy_image(128, static_cast<uint64_t>(i) * 8 + m));
  }
  return page;
}

ReportData finished(ReportData data, int64_t images) {
  data.parts = example_sections();
  data.parts.insert(data.parts.begin(), example_verdict());
  std::vector<ExplainPage> pages;
  for (const ReportScores& row : data.scores) {
    if (row.kind != ReportScores::Kind::kModel) continue;
    pages.push_back(example_explanation(row.name, images));
    pages.back().methods.resize(2);
  }
  data.parts.push_back({"explanations", "Explanations", explained_section(pages)});
  return data;
}

ReportData failed_report() {
  ReportData data = example_report(TargetKind::kMultiLabel);
  data.status = ReportData::Status::kFailed;
  data.chains_finished = 2;
  data.scores.resize(2);
  for (ReportScores& row : data.scores) {
    row.folds = {row.folds[0], std::nullopt, std::nullopt};
    row.oof = row.test = std::nullopt;
  }
  data.labels.clear();
  data.weights_ML.clear();
  data.samples.clear();
  data.metrics.resize(20);
  data.failures.push_back(
      {"simplenet-f2-s1", "data",
       "/a/file/system/with/a/path/that/does/not/end/shard-00017.h5: sample train_123's image is "
       "damaged: "
       "<script>alert(\"no\")</script>\nAVeryLongWordWithoutAnyPlaceToBreakItAtWhichMustNot"
       "WidenThePageOnATelephoneOrAnywhereElseAtAll"});
  return data;
}

ReportData sweep_report() {
  ReportData data = example_report(TargetKind::kSingleClass);
  ReportSweep& sweep = data.sweep.emplace();
  sweep.method = "halving";
  sweep.metric = "accuracy";
  sweep.metric_title = "Accuracy";
  sweep.axes = {{"stages.0.optimizer.lr", true},
                {"stages.0.optimizer.weight_decay", true},
                {"backbones.0.dropout", false},
                {"loss.kind", false}};
  for (int t = 0; t < 16; ++t) {
    const double score = .8 + .1 * std::sin(t * 1.7);
    ReportTrial& trial = sweep.trials.emplace_back();
    trial.name = fmt::format("{:04d}", t);
    trial.values = {fmt::format("{:.3g}", 1e-3 * std::pow(1.4, t)),
                    fmt::format("{:.2g}", 1e-5 * (t + 1)), fmt::format("{:.2f}", .03 * t),
                    t % 2 ? "cross_entropy" : "soft_f_beta"};
    trial.state = t < 12 ? ReportTrial::State::kFinished : ReportTrial::State::kStopped;
    trial.state_text = t < 12 ? "finished" : "stopped at rung 1";
    trial.score = score;
    trial.folds = {score - .01, score + .01};
    if (t < 12) {
      trial.oof = score;
      trial.stack = score + .004;
    }
    trial.rank_seconds = 400 + 31 * t;
    trial.note = t < 12 ? "" : "worse than the median of the others";
    trial.best = t == 1;
  }
  return data;
}

RunComparison example_comparison() {
  RunComparison c{.name_a = "planet", .name_b = "planet-dehazed-with-a-long-name", .metric = "F2"};
  c.common_samples = 40479;
  c.candidates = {{"resnet18", .851, .8571, {.0061, .001, .0112}},
                  {"densenet121", .861, .8571, {-.0039, -.009, .0012}},
                  {"stack", .868, .8702, {.0022, -.0011, .0055}}};
  for (size_t l = 0; l < kLabels.size(); ++l)
    c.labels.push_back({kLabels[l], .7 + .02 * double(l), .7 + .019 * double(l) + .01});
  c.different_keys =
      "  preprocess.dehaze: false -> true\n  dataset: data/planet/plain/of/all -> "
      "data/planet/dehazed\n";
  c.seconds_a = 7512;
  c.seconds_b = 8120;
  return c;
}

std::string example_match() {
  MatchResult result;
  MatchPageOptions options;
  options.title = "Which whale is it?";
  for (int g = 0; g < 12; ++g) {
    result.gallery_ids.push_back(fmt::format("{:08x}.jpg", 0x51f3a9c0 + g * 7919));
    result.gallery_names.push_back(fmt::format("w_{:07x}", g / 2 * 92821));
  }
  for (int q = 0; q < 8; ++q) {
    result.query_ids.push_back(fmt::format("query_{:08x}.jpg", q * 104729));
    std::vector<MatchAnswer>& answers = result.answers.emplace_back();
    for (int place = 0; place < 5; ++place) {
      const int g = (q * 2 + place * 2) % 12;
      answers.push_back({result.gallery_names[static_cast<size_t>(g)], .9 - .1 * place, g});
    }
    answers[2] = {"new_whale", std::nan(""), -1};
    options.truth[result.query_ids.back()] = q % 3 ? answers[0].name : "w_unseen";
    result.right_names.push_back(q % 3 ? answers[0].name : "new_whale");
  }
  result.threshold = .61;
  result.mean_reciprocal_place = .78;
  result.first_right = .7;
  const auto jpeg = [](const std::string& id) {
    return thumbnail_jpeg(busy_image(160, id.size() + static_cast<uint64_t>(id[6])).view(), 160);
  };
  options.query_image = options.gallery_image = jpeg;
  return match_page(result, options);
}

int write_pages(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  const std::pair<const char*, std::string> pages[] = {
      {"labels", render_report(finished(example_report(TargetKind::kMultiLabel), 2))},
      {"classes", render_report(example_report(TargetKind::kSingleClass))},
      {"large", render_report(finished(large_report(60, 24), 3))},
      {"failed", render_report(failed_report())},
      {"sweep", render_report(sweep_report())},
      {"empty", render_report({.run_name = "nothing yet"})},
      {"analysis", render_page("Analysis", "3 models, 300 samples, 11 labels", example_sections())},
      {"explain", render_explain_page(example_explanation("resnet18", 6))},
      {"stack", example_stack_page()},
      {"compare", render_comparison(example_comparison())},
      {"match", example_match()},
  };
  for (const auto& [name, html] : pages) {
    write_file_atomically(folder / (std::string(name) + ".html"), html);
    std::printf("%-10s %8.2f MB\n", name, double(html.size()) / 1e6);
  }
  return 0;
}

}  // namespace
}  // namespace baleen

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: example_pages DIR\n");
    return 2;
  }
  return baleen::write_pages(argv[1]);
}
