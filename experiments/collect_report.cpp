#include "experiments/collect_report.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>
#include <numeric>

#include "core/base/atomic_file.h"
#include "core/base/logging.h"
#include "core/metrics/metrics.h"
#include "data/image/image.h"
#include "data/inspect.h"
#include "data/oof.h"
#include "experiments/analysis/analyze_job.h"
#include "experiments/classification_chain.h"
#include "experiments/complete_part.h"
#include "experiments/ensemble/verdict_page.h"
#include "experiments/environment.h"
#include "experiments/evaluation.h"
#include "experiments/explain/explain_job.h"
#include "experiments/finish_run.h"
#include "experiments/journal.h"
#include "experiments/plan_print.h"
#include "experiments/report_samples.h"
#include "experiments/report_task.h"
#include "experiments/report_timeline.h"
#include "experiments/run.h"
#include "experiments/stacking/stack_input.h"
#include "experiments/sweep/prepared_sweep.h"
#include "experiments/sweep/sweep_outline.h"
#include "experiments/sweep/sweep_report.h"

namespace baleen {
namespace {

std::string utc_text(double time_s) {
  const std::time_t seconds = static_cast<std::time_t>(time_s);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", &parts);
  return text;
}

void add_status(ReportData& report, const JournalState& journal, const Plan& plan) {
  report.chains_planned = static_cast<int64_t>(plan.chains.size());
  report.chains_finished = static_cast<int64_t>(journal.finished_chains.size());
  report.wall_seconds = active_seconds(journal);
  if (!journal.records.empty()) report.started = utc_text(journal.records.front().time_s);
  bool failed = false;
  for (const JournalRecord& record : journal.records) {
    if (record.kind == JournalRecord::Kind::kRunStarted)
      report.ranks = static_cast<int64_t>(record.ranks.size());
    if (record.kind == JournalRecord::Kind::kChainFailed) {
      failed = failed || !journal.finished_chains.contains(record.name);
      report.failures.push_back({record.name, record.error_kind, record.error_message});
    }
  }
  if (journal.complete) {
    report.status = ReportData::Status::kComplete;
  } else {
    report.status = failed ? ReportData::Status::kFailed : ReportData::Status::kUnfinished;
  }
}

void add_summary(ReportData& report, const Recipe& recipe, const Plan& plan) {
  std::string sizes;
  for (const StageOptions& stage : recipe.stages) {
    sizes += fmt::format("{}{} px × {} epochs", sizes.empty() ? "" : ", then ", stage.size_px,
                         stage.epochs);
  }
  std::string backbones;
  for (const BackboneSection& backbone : recipe.backbones) {
    backbones += (backbones.empty() ? "" : ", ") + backbone.label_or_name();
  }
  const bool counted = recipe.task.kind == "labels";  // boxes and masks are one per image
  const std::string learnt =
      counted ? fmt::format("{} {}", plan.data.num_outputs, plan.data.target) : plan.data.target;
  report.description =
      fmt::format("{} folds of {} on {} images with {}", plan.data.fold_sizes.size(), backbones,
                  plan.data.num_samples, learnt);
  report.summary = {
      {"data", fmt::format("{}: {} images, {}", recipe.dataset, plan.data.num_samples, learnt)},
      {"test set", recipe.test.empty()
                       ? "none"
                       : fmt::format("{}: {} images", recipe.test, plan.data.num_test)},
      {"folds", fmt::format("{} ({})", recipe.folds.count, recipe.folds.kind)},
      {"stages", sizes},
      {"loss", recipe.loss.kind},
      {"logical shards", std::to_string(recipe.training.logical_shards)},
      {"precision", recipe.training.precision},
      {"determinism", recipe.training.determinism},
      {"seeds", fmt::format("{}", fmt::join(recipe.chain_seeds(), ", "))},
  };
}

void add_environment(ReportData& report, const RunDirectory& directory, const Plan& plan) {
  report.environment = {{"plan", plan.hash}, {"data digest", plan.data.digest}};
  if (!std::filesystem::exists(directory.environment())) return;
  const auto root = nlohmann::json::parse(read_file(directory.environment()), nullptr, false);
  if (root.is_discarded() || !root.contains("starts") || root["starts"].empty()) return;
  for (const auto& [key, value] : root["starts"].back().items()) {
    if (value.is_string()) report.environment.emplace_back(key, value.get<std::string>());
    if (value.is_number()) report.environment.emplace_back(key, value.dump());
  }
}

void add_scores(ReportData& report, const Evaluation& evaluation, const JournalState& journal,
                const PreparedRun& run) {
  using Kind = ReportScores::Kind;
  if (report.target_kind == TargetKind::kMultiLabel) report.score_title = evaluation.metric;
  for (size_t i = 0; i < evaluation.candidates.size(); ++i) {
    const Candidate& c = evaluation.candidates[i];
    ReportScores row;
    row.kind = i + 1 == evaluation.candidates.size()   ? Kind::kStack
               : i + 2 == evaluation.candidates.size() ? Kind::kMean
                                                       : Kind::kModel;
    row.name = c.name;
    for (double score : c.score_by_fold) row.folds.emplace_back(score);
    row.oof = c.oof_score;
    row.test = c.test_score;
    if (row.kind == Kind::kModel) {
      row.train_seconds = training_seconds(run, journal, c.name);
    }
    report.scores.push_back(std::move(row));
  }
}

/// While chains are still missing: what each finished fold scored.
void add_partial_scores(ReportData& report, const JournalState& journal, const PreparedRun& run) {
  for (const ChainSpec& chain : run.plan.chains) {
    const std::string name = model_name(run.recipe, chain);
    auto row = std::find_if(report.scores.begin(), report.scores.end(),
                            [&](const ReportScores& r) { return r.name == name; });
    if (row == report.scores.end()) {
      ReportScores fresh;
      fresh.name = name;
      fresh.folds.resize(static_cast<size_t>(run.folds.count));
      row = report.scores.insert(report.scores.end(), std::move(fresh));
    }
    const auto found = journal.finished_chains.find(chain.name);
    if (found == journal.finished_chains.end()) continue;
    const auto metric = found->second.metrics.find(report.metric);
    if (metric != found->second.metrics.end())
      row->folds[static_cast<size_t>(chain.fold)] = metric->second;
  }
}

void add_targets(ReportData& report, const Evaluation& evaluation, const OofData& data) {
  const Candidate& stack = evaluation.stack();
  if (data.target_kind == TargetKind::kMultiLabel) {
    const auto counts = label_counts(data.targets, stack.thresholds.predicted_NL);
    for (size_t l = 0; l < data.labels.size(); ++l) {
      report.labels.push_back({data.labels[l], counts[l].true_positives + counts[l].false_negatives,
                               stack.thresholds.final.values_L[l], f_beta(counts[l], 2.0),
                               precision(counts[l]), recall(counts[l])});
    }
    return;
  }
  report.classes = data.labels;
  report.confusion_CC.assign(data.labels.size(), std::vector<int64_t>(data.labels.size(), 0));
  const at::Tensor predicted = stack.oof_NK.argmax(1);
  for (int64_t i = 0; i < data.targets.size(0); ++i) {
    ++report.confusion_CC[static_cast<size_t>(data.targets[i].item<int64_t>())]
                         [static_cast<size_t>(predicted[i].item<int64_t>())];
  }
}

void add_weights(ReportData& report, const StackResult& stack) {
  report.weight_models = stack.models;
  report.weight_labels = stack.labels;
  const at::Tensor weights = stack.weights_ML.to(at::kDouble).contiguous();
  for (int64_t m = 0; m < weights.size(0); ++m) {
    const double* row = weights[m].data_ptr<double>();
    report.weights_ML.emplace_back(row, row + weights.size(1));
  }
}

std::string metric_title(const std::string& metric) {
  if (metric == "f2") return "F2";
  if (metric == "iou") return "IoU";
  if (metric == "map_at_5") return "mAP@5";
  return metric == "accuracy" ? "Accuracy" : metric;
}

void add_curves(ReportData& report, const RunDirectory& directory, const Plan& plan) {
  for (const ChainSpec& chain : plan.chains) {
    const auto file = ChainFiles(directory.chain(chain.name)).metrics();
    if (!std::filesystem::exists(file)) continue;
    const auto records = latest_records(read_metrics(file));
    report.metrics.insert(report.metrics.end(), records.begin(), records.end());
  }
}

/// What may fail without harm to the rest of the page: then a warning says what is missing.
void try_to_add(ReportData& report, const char* what, const std::function<void()>& add) {
  try {
    add();
  } catch (...) {
    const Error& error = current_error();
    if (error.kind() == ErrorKind::kInterrupted) throw;
    report.warnings.push_back(fmt::format("{} is missing: {}", what, error.what()));
  }
}

/// Every combination of the run's models, judged as `baleen stack` judges them.
void add_second_stage(ReportData& report, const RunDirectory& directory, const PreparedRun& run,
                      const StackResult& stack) {
  StackJob job;
  job.inputs.push_back({.path = directory.root().string()});
  job.stacking = run.recipe.stacking;
  job.thresholds = run.recipe.thresholds;
  job.keep_degenerate = true;
  const LoadedStack loaded = load_stack(job);
  const StackVerdict verdict = judge(loaded, job, stack);
  report.parts.push_back(verdict_section(verdict, loaded, job));
  report.analysis_text += print_verdict(verdict, loaded, job) + "\n";
}

/// The second stage, analysis of the predictions, and what the networks look at.
void add_insight(ReportData& report, const RunDirectory& directory, const PreparedRun& run,
                 const StackResult& stack, const ReportTools& tools) {
  const ReportSection& options = run.recipe.report;
  if (options.analysis) {
    try_to_add(report, "the second stage", [&] {
      tools.check_stop();
      add_second_stage(report, directory, run, stack);
    });
    try_to_add(report, "the analysis", [&] {
      tools.check_stop();
      const Analysis analysis = analyse_run(directory, run);
      const auto sections = analysis_sections(analysis, pictures_of_run(run, analysis.confusing));
      report.parts.insert(report.parts.end(), sections.begin(), sections.end());
      report.analysis_text += print_analysis(analysis);
    });
  }
  if (options.explanations > 0 && tools.backbones) {
    try_to_add(report, "what the networks look at", [&] {
      const std::string html = explained_section(
          explain_run(directory, run, *tools.backbones, options.explanations, tools.check_stop));
      if (!html.empty()) report.parts.push_back({"explanations", "Explanations", html});
    });
  }
}

/// Of a sweep: its best trial's report, as far as there is one, with the trials in front.
ReportData with_trials(const RunDirectory& directory, const PreparedRun& run,
                       const JournalState& journal, const ReportTools& tools) {
  const SweepOutline outline = outline_of(*run.sweep);
  const SweepResults results = results_of(outline, journal);
  ReportData report;
  if (journal.finished_trials.count(results.best) > 0 && run.recipe.task.kind == "labels") {
    const PreparedRun best = run.sweep->run_of(results.best);
    report = collect_report(directory.trial(trial_name(results.best)), &best, tools);
    report.failures.clear();
  } else {
    report.metric = outline.rules.metric;
    report.metric_title = metric_title(report.metric);
  }
  report.sweep = report_sweep(outline, results);
  report.sweep->metric_title = metric_title(outline.rules.metric);
  if (report.summary.empty()) add_summary(report, run.recipe, run.plan);
  report.description =
      fmt::format("a sweep of {} trials over {} of a recipe on {} images", results.trials.size(),
                  plural(std::ssize(outline.axes), "key"), run.plan.data.num_samples);
  return report;
}

}  // namespace

ReportData collect_report(const RunDirectory& directory, const PreparedRun* given,
                          const ReportTools& tools) {
  if (!std::filesystem::exists(directory.journal())) {
    throw Error(ErrorKind::kData, directory.root().string() + " holds no run: there is no " +
                                      directory.journal().filename().string());
  }
  std::optional<PreparedRun> opened;
  if (!given) {
    opened =
        with_context([&] { return "opening the data of " + directory.root().string(); },
                     [&] { return prepare_run(load_recipe(directory.config(), {}), nullptr); });
  }
  const PreparedRun& run = given ? *given : *opened;
  const JournalState journal = read_journal(directory.journal());
  ReportData report;
  if (run.sweep) report = with_trials(directory, run, journal, tools);
  report.run_name = run.recipe.name;
  report.baleen_version = baleen_version();
  report.config_yaml = read_file(directory.config());
  report.target_kind = run.dataset->target_kind();
  add_status(report, journal, run.plan);
  add_environment(report, directory, run.plan);
  report.timeline = timeline_of(journal, run.plan);
  report.marks = marks_of(journal);
  for (const std::string& warning : run.folds.warnings) {  // of a sweep, its best trial's as well
    if (std::ranges::count(report.warnings, warning) == 0) report.warnings.push_back(warning);
  }
  if (run.sweep) {
    report.run_name = run.sweep->name;
    return report;
  }
  const PreparedRun part = complete_part(run, journal);
  if (journal.finished_steps.contains("assembly")) {
    for (std::string& model : describe_left_out(part)) report.warnings.push_back(std::move(model));
  }
  report.metric = run.task->main_metric();
  report.metric_title = metric_title(report.metric);
  add_summary(report, run.recipe, run.plan);
  add_curves(report, directory, run.plan);
  if (run.recipe.task.kind != "labels") {
    if (journal.finished_steps.contains("assembly")) {
      add_task_results(report, part, directory, journal);
    } else {
      add_partial_scores(report, journal, run);
    }
  } else if (journal.finished_steps.contains("stacking")) {
    OofData data = read_oof(directory.oof());
    const StackResult stack = fit_stack(
        calibrated_stack_input(data, run.recipe.stacking, run.recipe.thresholds, tools.check_stop)
            .first,
        run.recipe.stacking, false, {}, tools.check_stop);
    const Evaluation evaluation = evaluate(data, stack, run.recipe.thresholds, tools.check_stop);
    add_scores(report, evaluation, journal, part);
    add_targets(report, evaluation, data);
    add_weights(report, stack);
    report.samples = sample_images(run, evaluation, data, run.recipe.report.samples);
    add_insight(report, directory, part, stack, tools);
  } else {
    add_partial_scores(report, journal, run);
  }
  return report;
}

}  // namespace baleen
