#include "experiments/analysis/compare_runs.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <unordered_map>

#include "core/base/error.h"
#include "core/base/format.h"
#include "core/metrics/metrics.h"
#include "experiments/analysis/analysis_page.h"
#include "experiments/ensemble/contestants.h"
#include "experiments/evaluation.h"
#include "experiments/journal.h"
#include "experiments/plan.h"
#include "experiments/recipe.h"
#include "experiments/report/html.h"
#include "experiments/report_timeline.h"
#include "experiments/run_directory.h"
#include "experiments/stacking/stack_input.h"

namespace baleen {
namespace {

using html::escape;

constexpr int64_t kResamples = 2000;

/// A finished run, judged as its report judges it.
struct Judged {
  std::string name;
  OofData data;
  Evaluation evaluation;
  ThresholdOptions thresholds;
  double seconds = 0;
};

Judged judge_run(const std::filesystem::path& path) {
  const RunDirectory directory(path);
  if (!std::filesystem::exists(directory.oof())) {
    throw Error(ErrorKind::kData,
                fmt::format("{} is no finished run: it has no oof.h5", path.string()),
                "go on with the run");
  }
  const Recipe recipe = load_recipe(directory.config(), {});
  Judged run;
  run.name = path.lexically_normal().filename().string();
  if (run.name.empty()) run.name = path.lexically_normal().parent_path().filename().string();
  run.data = read_oof(directory.oof());
  const StackResult stack = fit_stack(
      calibrated_stack_input(run.data, recipe.stacking, recipe.thresholds).first, recipe.stacking);
  run.thresholds = recipe.thresholds;
  run.evaluation = evaluate(run.data, stack, recipe.thresholds);
  if (std::filesystem::exists(directory.journal()))
    run.seconds = active_seconds(read_journal(directory.journal()));
  return run;
}

/// Each sample's own score, whose mean the candidate's score is.
at::Tensor scores_of(const Candidate& candidate, const OofData& data,
                     const ThresholdOptions& thresholds) {
  const bool classes = data.target_kind == TargetKind::kSingleClass;
  return sample_scores(classes ? StackMetric::kAccuracy : StackMetric::kF,
                       make_stack_input(data).targets_NL.to(at::kDouble), candidate.oof_NK,
                       candidate.thresholds.predicted_NL, thresholds);
}

/// Rows of both runs for the samples that they share.
std::pair<at::Tensor, at::Tensor> common_rows(const OofData& a, const OofData& b) {
  std::unordered_map<std::string, int64_t> row_of;
  for (size_t i = 0; i < b.ids.size(); ++i) row_of.emplace(b.ids[i], static_cast<int64_t>(i));
  std::vector<int64_t> rows_a, rows_b;
  for (size_t i = 0; i < a.ids.size(); ++i) {
    const auto found = row_of.find(a.ids[i]);
    if (found == row_of.end()) continue;
    rows_a.push_back(static_cast<int64_t>(i));
    rows_b.push_back(found->second);
  }
  return {at::tensor(rows_a, at::kLong), at::tensor(rows_b, at::kLong)};
}

}  // namespace

RunComparison compare_runs(const std::filesystem::path& a, const std::filesystem::path& b) {
  const Judged first = judge_run(a), second = judge_run(b);
  if (first.data.labels != second.data.labels ||
      first.data.target_kind != second.data.target_kind) {
    throw Error(ErrorKind::kData,
                fmt::format("{} and {} have not the same labels", a.string(), b.string()));
  }
  const auto [rows_a, rows_b] = common_rows(first.data, second.data);
  if (rows_a.numel() == 0) {
    throw Error(ErrorKind::kData,
                fmt::format("{} and {} have no samples in common", a.string(), b.string()));
  }
  RunComparison result;
  result.name_a = first.name;
  result.name_b = second.name;
  result.metric = first.evaluation.metric;
  result.common_samples = rows_a.numel();
  result.seconds_a = first.seconds;
  result.seconds_b = second.seconds;
  for (const Candidate& candidate : first.evaluation.candidates) {
    const auto& others = second.evaluation.candidates;
    const auto other = std::find_if(others.begin(), others.end(),
                                    [&](const Candidate& c) { return c.name == candidate.name; });
    if (other == others.end()) {
      result.only_a.push_back(candidate.name);
      continue;
    }
    const at::Tensor scores_CN =
        at::stack({scores_of(candidate, first.data, first.thresholds).index_select(0, rows_a),
                   scores_of(*other, second.data, first.thresholds).index_select(0, rows_b)});
    const BootstrapResult bootstrap = bootstrap_scores(scores_CN, 0, kResamples, 0);
    result.candidates.push_back({candidate.name, bootstrap.score_C[0].value,
                                 bootstrap.score_C[1].value, bootstrap.difference_C[1]});
  }
  for (const Candidate& candidate : second.evaluation.candidates) {
    const auto same = [&](const ComparedCandidate& c) { return c.name == candidate.name; };
    if (std::none_of(result.candidates.begin(), result.candidates.end(), same))
      result.only_b.push_back(candidate.name);
  }
  if (first.data.target_kind == TargetKind::kMultiLabel) {
    const auto counts = [](const Judged& run, const at::Tensor& rows) {
      return label_counts(run.data.targets.index_select(0, rows),
                          run.evaluation.stack().thresholds.predicted_NL.index_select(0, rows));
    };
    const auto of_a = counts(first, rows_a), of_b = counts(second, rows_b);
    for (size_t l = 0; l < first.data.labels.size(); ++l)
      result.labels.push_back({first.data.labels[l], f_beta(of_a[l], 2), f_beta(of_b[l], 2)});
  }
  result.different_keys = describe_differences(read_stored_plan(RunDirectory(a).plan()),
                                               read_stored_plan(RunDirectory(b).plan()));
  return result;
}

std::string print_comparison(const RunComparison& c) {
  size_t width = 5;
  for (const ComparedCandidate& candidate : c.candidates)
    width = std::max(width, candidate.name.size());
  std::string text = fmt::format(
      "{} on the {} samples that both runs have\n{:<{}}  {:>12}  {:>12}"
      "  {:>10}  {:>19}\n",
      c.metric, format_count(c.common_samples), "", width, c.name_a, c.name_b, "difference",
      "95 % interval");
  for (const ComparedCandidate& candidate : c.candidates) {
    text += fmt::format(
        "{:<{}}  {:>12.4f}  {:>12.4f}  {:>+10.4f}  {:>19}{}\n", candidate.name, width,
        candidate.score_a, candidate.score_b, candidate.difference.value,
        fmt::format("{:+.4f} to {:+.4f}", candidate.difference.low, candidate.difference.high),
        candidate.difference.excludes_zero() ? "" : "  may be chance");
  }
  if (!c.only_a.empty()) text += fmt::format("only {}: {}\n", c.name_a, fmt::join(c.only_a, ", "));
  if (!c.only_b.empty()) text += fmt::format("only {}: {}\n", c.name_b, fmt::join(c.only_b, ", "));
  text +=
      fmt::format("time: {} and {}\n", format_duration(c.seconds_a), format_duration(c.seconds_b));
  text += c.different_keys.empty() ? "the plans are the same\n"
                                   : "what differs in the plans:\n" + c.different_keys + "\n";
  return text;
}

std::string render_comparison(const RunComparison& c) {
  const auto header = [](const std::vector<std::string>& columns) {
    std::string row;
    for (size_t i = 0; i < columns.size(); ++i)
      row +=
          fmt::format("<th scope=\"col\"{}>{}</th>", i ? " class=\"num\"" : "", escape(columns[i]));
    return "<thead><tr>" + row + "</tr></thead>";
  };
  const auto table = [&](const std::string& name, const std::vector<std::string>& columns,
                         const std::string& rows) {
    return fmt::format(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}\"><table "
        "class=\"sortable\">{}<tbody>\n{}</tbody></table></div>\n",
        escape(name), header(columns), rows);
  };
  std::string rows;
  for (const ComparedCandidate& candidate : c.candidates) {
    rows += fmt::format(
        "<tr><th scope=\"row\">{}</th><td class=\"num\">{}</td><td class=\"num\">{}</td><td "
        "class=\"num\">{}</td><td class=\"num\">{} to {}</td></tr>\n",
        escape(candidate.name), html::score(candidate.score_a), html::score(candidate.score_b),
        html::difference(candidate.difference.value), html::signed_score(candidate.difference.low),
        html::signed_score(candidate.difference.high));
  }
  std::vector<PageSection> sections;
  sections.push_back(
      {"scores", "Scores",
       html::section(
           "scores", "Scores",
           fmt::format("{} out of fold, on the {} samples that both runs have; 95 % "
                       "intervals of paired differences.",
                       escape(c.metric), html::count(c.common_samples)),
           table("Scores", {"", c.name_a, c.name_b, "Difference", "95 % interval"}, rows))});
  if (!c.labels.empty()) {
    std::string labels;
    for (const ComparedLabel& label : c.labels) {
      labels += fmt::format(
          "<tr><th scope=\"row\">{}</th><td class=\"num\">{}</td><td "
          "class=\"num\">{}</td>{}</tr>\n",
          escape(label.label), html::score(label.f2_a), html::score(label.f2_b),
          html::tinted_cell(label.f2_b - label.f2_a, 0.1,
                            html::signed_score(label.f2_b - label.f2_a), label.label));
    }
    sections.push_back(
        {"labels", "Labels",
         html::section("labels", "Labels", "F2 of each label by the stack.",
                       table("Labels", {"", c.name_a, c.name_b, "Difference"}, labels))});
  }
  sections.push_back(
      {"plans", "Plans",
       html::section("plans", "Plans", "",
                     c.different_keys.empty()
                         ? "<p>The plans are the same.</p>\n"
                         : "<pre tabindex=\"0\">" + escape(c.different_keys) + "</pre>\n")});
  return render_page(c.name_a + " and " + c.name_b,
                     fmt::format("{} and {} of computation", html::duration(c.seconds_a),
                                 html::duration(c.seconds_b)),
                     sections);
}

}  // namespace baleen
