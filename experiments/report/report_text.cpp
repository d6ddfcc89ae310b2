#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/base/format.h"
#include "experiments/report/report.h"

namespace baleen {
namespace {

constexpr size_t kListedMistakes = 10;

std::string number(const std::optional<double>& value) {
  return value && std::isfinite(*value) ? fmt::format("{:.4f}", *value) : "-";
}

/// Columns as wide as their widest cell; the first is a name, the others are numbers.
std::string aligned(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()), 0);
    for (size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], row[c].size());
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (size_t c = 0; c < row.size(); ++c)
      line += c == 0 ? fmt::format("{:<{}}", row[c], widths[c])
                     : fmt::format("  {:>{}}", row[c], widths[c]);
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

std::string head(const ReportData& data) {
  const char* status = data.status == ReportData::Status::kComplete ? "complete"
                       : data.status == ReportData::Status::kFailed ? "failed"
                                                                    : "unfinished";
  std::string text = fmt::format("{}: {}\n{}\n", data.run_name, status, data.description);
  text += fmt::format("{} of {} chains finished", data.chains_finished, data.chains_planned);
  if (data.wall_seconds > 0) {
    text += fmt::format(" in {}", format_duration(data.wall_seconds));
    if (data.ranks > 0)
      text += fmt::format(" on {} rank{}", data.ranks, data.ranks == 1 ? "" : "s");
  }
  text += "\n";
  for (const ReportFailure& failure : data.failures)
    text += fmt::format("failure of {} ({}): {}\n", failure.what, failure.kind, failure.message);
  for (const std::string& warning : data.warnings) text += "warning: " + warning + "\n";
  return text;
}

std::string trials(const ReportSweep& sweep) {
  std::vector<std::vector<std::string>> rows{{"trial", sweep.metric_title, "state"}};
  for (const ReportSweep::Axis& axis : sweep.axes) rows.front().push_back(axis.key);
  for (const ReportTrial& trial : sweep.trials) {
    rows.push_back({trial.name + (trial.best ? " *" : ""), number(trial.score), trial.state_text});
    rows.back().insert(rows.back().end(), trial.values.begin(), trial.values.end());
  }
  return "\n" + aligned(rows) + "* the best\n";
}

std::string scores(const ReportData& data) {
  size_t num_folds = 0;
  bool any_test = false;
  for (const ReportScores& row : data.scores) {
    num_folds = std::max(num_folds, row.folds.size());
    any_test |= row.test.has_value();
  }
  std::vector<std::vector<std::string>> rows{{data.title_of_scores()}};
  for (size_t k = 0; k < num_folds; ++k) rows.front().push_back(fmt::format("fold {}", k));
  rows.front().push_back("out of fold");
  if (any_test) rows.front().push_back("test");
  for (const ReportScores& row : data.scores) {
    std::vector<std::string>& line = rows.emplace_back(std::vector<std::string>{row.name});
    for (size_t k = 0; k < num_folds; ++k)
      line.push_back(number(k < row.folds.size() ? row.folds[k] : std::nullopt));
    line.push_back(number(row.oof));
    if (any_test) line.push_back(number(row.test));
  }
  return "\n" + aligned(rows);
}

std::string labels(const ReportData& data) {
  std::vector<std::vector<std::string>> rows{
      {"label", "samples", "threshold", "F2", "precision", "recall"}};
  for (const ReportLabel& label : data.labels)
    rows.push_back({label.name, format_count(label.positives),
                    std::isnan(label.threshold) ? "highest of its group"
                                                : fmt::format("{:.3f}", label.threshold),
                    number(label.f2), number(label.precision), number(label.recall)});
  return "\n" + aligned(rows);
}

/// Which classes are taken for which, most often first.
std::string mistakes(const ReportData& data) {
  struct Pair {
    size_t actual, predicted;
    int64_t count;
  };
  std::vector<Pair> pairs;
  for (size_t r = 0; r < data.confusion_CC.size(); ++r) {
    for (size_t c = 0; c < data.confusion_CC[r].size(); ++c) {
      if (r != c && data.confusion_CC[r][c] > 0) pairs.push_back({r, c, data.confusion_CC[r][c]});
    }
  }
  std::stable_sort(pairs.begin(), pairs.end(),
                   [](const Pair& a, const Pair& b) { return a.count > b.count; });
  pairs.resize(std::min(pairs.size(), kListedMistakes));
  if (pairs.empty()) return {};
  std::vector<std::vector<std::string>> rows{{"true class, taken for", "samples"}};
  for (const Pair& pair : pairs)
    rows.push_back({data.classes[pair.actual] + ", " + data.classes[pair.predicted],
                    format_count(pair.count)});
  return "\n" + aligned(rows);
}

}  // namespace

std::string report_text(const ReportData& data) {
  std::string text = head(data);
  if (data.sweep) text += trials(*data.sweep);
  if (!data.scores.empty()) text += scores(data);
  if (!data.labels.empty()) text += labels(data);
  text += mistakes(data);
  if (!data.analysis_text.empty()) text += "\n" + data.analysis_text;
  return text;
}

}  // namespace baleen
