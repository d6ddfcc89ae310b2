#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "experiments/report/html.h"
#include "experiments/report/sections.h"

namespace baleen {
namespace {

using html::escape;
using Kind = ReportScores::Kind;

std::optional<double> fold_mean(const ReportScores& row) {
  double sum = 0;
  int64_t count = 0;
  for (const auto& fold : row.folds) {
    if (!fold) continue;
    sum += *fold;
    ++count;
  }
  if (count == 0) return std::nullopt;
  return sum / double(count);
}

std::optional<double> fold_deviation(const ReportScores& row) {
  const auto mean = fold_mean(row);
  double squares = 0;
  int64_t count = 0;
  for (const auto& fold : row.folds) {
    if (!fold) continue;
    squares += (*fold - *mean) * (*fold - *mean);
    ++count;
  }
  if (count < 2) return std::nullopt;
  return std::sqrt(squares / double(count - 1));
}

/// Range of all scores, a little widened: the axis of the strips.
std::pair<double, double> score_range(const ReportData& data) {
  double low = INFINITY, high = -INFINITY;
  const auto take = [&](const std::optional<double>& value) {
    if (!value || !std::isfinite(*value)) return;
    low = std::min(low, *value);
    high = std::max(high, *value);
  };
  for (const ReportScores& row : data.scores) {
    for (const auto& fold : row.folds) take(fold);
    take(row.oof);
    take(row.test);
  }
  if (!(low <= high)) return {0, 1};
  const double margin = std::max(0.04 * (high - low), 1e-4);
  return {low - margin, high + margin};
}

/// The folds as dots, the out-of-fold score as a bar, the test score as a diamond, all on one axis.
std::string strip(const ReportScores& row, double low, double high) {
  const auto mark = [&](const std::optional<double>& value, const char* shape,
                        const std::string& label) {
    if (!value || !std::isfinite(*value)) return std::string();
    return fmt::format("<i class=\"{}\" style=\"left:{:.2f}%\" title=\"{}\"></i>", shape,
                       100 * (*value - low) / (high - low),
                       escape(label + " " + html::score(value)));
  };
  std::string marks;
  for (size_t fold = 0; fold < row.folds.size(); ++fold) {
    marks += mark(row.folds[fold], "dot", fmt::format("fold {}", fold));
  }
  marks += mark(row.oof, "oof", "out of fold");
  marks += mark(row.test, "test", "test");
  return fmt::format("<td class=\"strip\" aria-hidden=\"true\"><span>{}</span></td>", marks);
}

std::string kind_class(Kind kind) {
  return kind == Kind::kStack ? "stack" : kind == Kind::kMean ? "mean" : "model";
}

std::string gain_sentence(const ReportGain& gain, const ReportData& data) {
  const auto against = [&](double other, const std::string& name) {
    return fmt::format("{} against {}", html::difference(gain.stack - other, "strong"),
                       escape(name));
  };
  std::string text = fmt::format(
      "{}: {} {} with the {}, {}", gain.on_test ? "On the held-out test set" : "Out of fold",
      escape(data.title_of_scores()), html::score(gain.stack), escape(gain.stack_name),
      against(gain.best_model, "the best single model, " + gain.best_model_name));
  if (gain.mean) text += ", " + against(*gain.mean, "the plain mean of the models");
  return text + ".";
}

}  // namespace

std::optional<ReportGain> find_gain(const ReportData& data, bool on_test) {
  const auto value = [&](const ReportScores& row) { return on_test ? row.test : row.oof; };
  ReportGain gain{.on_test = on_test};
  const ReportScores *stack = nullptr, *mean = nullptr, *best = nullptr;
  for (const ReportScores& row : data.scores) {
    if (!value(row)) continue;
    if (row.kind == Kind::kStack) stack = &row;
    if (row.kind == Kind::kMean) mean = &row;
    if (row.kind == Kind::kModel && (!best || *value(row) > *value(*best))) best = &row;
  }
  const ReportScores* combined = stack ? stack : mean;
  if (!combined || !best) return std::nullopt;
  gain.stack = *value(*combined);
  gain.stack_name = combined->name;
  gain.best_model = *value(*best);
  gain.best_model_name = best->name;
  if (stack && mean) gain.mean = *value(*mean);
  return gain;
}

std::string scores_section(const ReportData& data) {
  if (data.scores.empty()) return {};
  size_t num_folds = 0;
  bool any_test = false, any_time = false;
  for (const ReportScores& row : data.scores) {
    num_folds = std::max(num_folds, row.folds.size());
    any_test |= row.test.has_value();
    any_time |= row.train_seconds.has_value();
  }
  std::string head = "<th scope=\"col\">Model</th>";
  for (size_t fold = 0; fold < num_folds; ++fold) {
    head += fmt::format("<th scope=\"col\" class=\"num\">Fold {}</th>", fold);
  }
  head +=
      "<th scope=\"col\" class=\"num\">Mean ± s.d.</th><th scope=\"col\" class=\"num\">Out of "
      "fold</th>";
  if (any_test) head += "<th scope=\"col\" class=\"num\">Test</th>";
  if (any_time) head += "<th scope=\"col\" class=\"num\">Training</th>";
  head += "<th scope=\"col\" class=\"strip\" aria-hidden=\"true\">Spread</th>";

  const auto best = [&](auto value) {  // the largest of a column, to be set in bold
    std::optional<double> top;
    for (const ReportScores& row : data.scores) {
      const std::optional<double> v = value(row);
      if (v && (!top || *v > *top)) top = v;
    }
    return top;
  };
  const auto best_oof = best([](const ReportScores& row) { return row.oof; });
  const auto best_test = best([](const ReportScores& row) { return row.test; });
  const auto number = [](const std::optional<double>& value, const std::optional<double>& top) {
    return fmt::format("<td class=\"num{}\">{}</td>", value && top && *value == *top ? " best" : "",
                       html::score(value));
  };
  const auto [low, high] = score_range(data);
  std::string rows;
  size_t model = 0;
  for (const ReportScores& row : data.scores) {
    const bool is_model = row.kind == Kind::kModel;
    rows += fmt::format("<tr class=\"{}\"><th scope=\"row\">{}{}</th>", kind_class(row.kind),
                        is_model ? fmt::format("<span class=\"key c{}\"></span>", model % 8) : "",
                        escape(row.name));
    model += is_model;
    for (size_t fold = 0; fold < num_folds; ++fold) {
      const auto best_fold = best([&](const ReportScores& r) {
        return fold < r.folds.size() ? r.folds[fold] : std::nullopt;
      });
      rows += number(fold < row.folds.size() ? row.folds[fold] : std::nullopt, best_fold);
    }
    const auto deviation = fold_deviation(row);
    rows +=
        fmt::format("<td class=\"num\">{}{}</td>", html::score(fold_mean(row)),
                    deviation ? fmt::format(" <small>± {}</small>", html::score(deviation)) : "");
    rows += number(row.oof, best_oof);
    if (any_test) rows += number(row.test, best_test);
    if (any_time) {
      rows += fmt::format("<td class=\"num\">{}</td>",
                          row.train_seconds ? html::duration(*row.train_seconds) : "–");
    }
    rows += strip(row, low, high) + "</tr>\n";
  }
  std::string body;
  for (const bool on_test : {false, true}) {
    if (const auto gain = find_gain(data, on_test))
      body += "<p>" + gain_sentence(*gain, data) + "</p>\n";
  }
  body += fmt::format(
      "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Scores\"><table "
      "class=\"scores\">\n"
      "<caption>{} on each held-out fold; bold is the best of a column</caption>\n"
      "<thead><tr>{}</tr></thead>\n<tbody>\n{}</tbody></table></div>\n"
      "<p class=\"legend\" aria-hidden=\"true\"><span class=\"strip\"><span><i "
      "class=\"dot\"></i></span></span> fold "
      "<span class=\"strip\"><span><i class=\"oof\"></i></span></span> out of fold{} "
      "<span class=\"axis-note\">axis {} to {}</span></p>\n",
      escape(data.title_of_scores()), head, rows,
      any_test ? " <span class=\"strip\"><span><i class=\"test\"></i></span></span> test" : "",
      html::score(low), html::score(high));
  return html::section("scores", "Scores", "", body);
}

}  // namespace baleen
