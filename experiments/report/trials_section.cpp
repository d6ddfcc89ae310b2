#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "experiments/report/html.h"
#include "experiments/report/sections.h"

namespace baleen {
namespace {

using html::escape;
using State = ReportTrial::State;

/// Best first; those that were not trained to the end behind.
std::vector<const ReportTrial*> in_order(const ReportSweep& sweep) {
  std::vector<const ReportTrial*> trials;
  for (const ReportTrial& trial : sweep.trials) trials.push_back(&trial);
  const auto badness = [&](const ReportTrial* trial) {
    const double score = trial->score.value_or(NAN);
    return std::isnan(score) ? INFINITY : sweep.larger_is_better ? -score : score;
  };
  std::stable_sort(trials.begin(), trials.end(), [&](const ReportTrial* a, const ReportTrial* b) {
    const bool a_ended = a->state == State::kFinished, b_ended = b->state == State::kFinished;
    return a_ended != b_ended ? a_ended : badness(a) < badness(b);
  });
  return trials;
}

std::string head_cell(const std::string& text, bool number) {
  return fmt::format("<th scope=\"col\"{}>{}</th>", number ? " class=\"num\"" : "", escape(text));
}

std::string number_cell(const std::optional<double>& value) {
  // Without a value: behind all numbers, however they are sorted, is good enough.
  const bool known = value && std::isfinite(*value);
  return fmt::format("<td class=\"num\"{}>{}</td>",
                     known ? fmt::format(" data-sort=\"{:.9g}\"", *value) : "", html::score(value));
}

std::string row_of(const ReportTrial& trial, size_t num_folds, bool any_oof) {
  std::string row =
      fmt::format("<tr{}><th scope=\"row\">{}{}</th>", trial.best ? " class=\"winner\"" : "",
                  escape(trial.name), trial.best ? " ★" : "");
  row += number_cell(trial.score);
  for (size_t fold = 0; fold < num_folds; ++fold)
    row += number_cell(fold < trial.folds.size() ? trial.folds[fold] : std::nullopt);
  if (any_oof) row += number_cell(trial.oof) + number_cell(trial.stack);
  for (const std::string& value : trial.values)
    row += fmt::format("<td class=\"values\">{}</td>", escape(value));
  row +=
      fmt::format("<td class=\"state\">{}{}</td>", escape(trial.state_text),
                  trial.note.empty() ? "" : fmt::format(" <small>{}</small>", escape(trial.note)));
  return row + fmt::format("<td class=\"num\" data-sort=\"{:.3f}\">{}</td></tr>\n",
                           trial.rank_seconds, html::duration(trial.rank_seconds));
}

std::string table_of(const ReportSweep& sweep) {
  size_t num_folds = 0;
  bool any_oof = false;
  for (const ReportTrial& trial : sweep.trials) {
    num_folds = std::max(num_folds, trial.folds.size());
    any_oof |= trial.oof.has_value();
  }
  std::string head = head_cell("Trial", false) + head_cell(sweep.metric_title, true);
  for (size_t fold = 0; fold < num_folds; ++fold)
    head += head_cell(fmt::format("Fold {}", fold), true);
  if (any_oof) head += head_cell("Out of fold", true) + head_cell("Stack", true);
  for (const ReportSweep::Axis& axis : sweep.axes) head += head_cell(axis.key, false);
  head += head_cell("State", false) + head_cell("Rank time", true);
  std::string rows;
  for (const ReportTrial* trial : in_order(sweep)) rows += row_of(*trial, num_folds, any_oof);
  return fmt::format(
      "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Trials\"><table "
      "class=\"sortable\">\n<caption>{} is the mean over a trial's chains; out of fold and stack "
      "are pooled over all folds. Click a heading to sort.</caption>\n"
      "<thead><tr>{}</tr></thead>\n<tbody>\n{}</tbody></table></div>\n",
      escape(sweep.metric_title), head, rows);
}

std::string lead_of(const ReportSweep& sweep) {
  std::string counts;
  for (const auto& [state, word] : {std::pair(State::kFinished, "finished"),
                                    {State::kRunning, "under way"},
                                    {State::kPaused, "paused"},
                                    {State::kStopped, "stopped"},
                                    {State::kFailed, "failed"}}) {
    const auto count = std::ranges::count(sweep.trials, state, &ReportTrial::state);
    if (count > 0) counts += fmt::format("{}{} {}", counts.empty() ? "" : ", ", count, word);
  }
  std::string text = fmt::format(
      "{} trials by {}: {}; {} {} is better.", sweep.trials.size(), escape(sweep.method), counts,
      sweep.larger_is_better ? "larger" : "smaller", escape(sweep.metric));
  for (const ReportTrial& trial : sweep.trials) {
    if (!trial.best) continue;
    std::string values;
    for (size_t a = 0; a < sweep.axes.size(); ++a)
      values += fmt::format("{}{} = {}", a > 0 ? ", " : "", escape(sweep.axes[a].key),
                            escape(trial.values[a]));
    text += fmt::format(" Best is {}: {}. Scores, curves and samples below are its own.",
                        escape(trial.name), values);
  }
  return text;
}

}  // namespace

std::string trials_section(const ReportData& data) {
  if (!data.sweep || data.sweep->trials.empty()) return {};
  const ReportSweep& sweep = *data.sweep;
  return html::section("trials", "Trials", lead_of(sweep),
                       parallel_coordinates(sweep) + table_of(sweep));
}

}  // namespace baleen
