#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "experiments/report/html.h"
#include "experiments/report/sections.h"

namespace baleen {
namespace {

using html::escape;

// Beyond this a matrix of cells is no longer readable, and the pairs most often confused are listed
// instead.
constexpr size_t kLargestMatrix = 25;
constexpr size_t kListedPairs = 30;

std::string bar_cell(double share) {
  const double width = std::isfinite(share) ? 100 * std::clamp(share, 0.0, 1.0) : 0;
  return fmt::format("<td class=\"num bar\" style=\"--w:{:.1f}%\">{}</td>", width,
                     html::score(share));
}

std::string matrix(const ReportData& data) {
  const std::string head =
      "<th scope=\"col\">true \\ predicted</th>" + html::slanted_heads(data.classes);
  std::string rows;
  for (size_t r = 0; r < data.confusion_CC.size(); ++r) {
    const auto& row = data.confusion_CC[r];
    const auto total = double(std::accumulate(row.begin(), row.end(), int64_t{0}));
    rows += fmt::format("<tr><th scope=\"row\">{}</th>", escape(data.classes[r]));
    for (size_t c = 0; c < row.size(); ++c) {
      // Mistakes are tinted red and on a steeper scale: they are rare, and what one looks for.
      const double share = total > 0 ? double(row[c]) / total : 0;
      const std::string hover =
          fmt::format("{} of {} {} ({:.1f} %) predicted as {}", html::count(row[c]),
                      html::count(int64_t(total)), data.classes[r], 100 * share, data.classes[c]);
      rows += html::tinted_cell(r == c ? share : -share, r == c ? 1 : 0.25,
                                row[c] ? html::count(row[c]) : "·", hover);
    }
    rows += "</tr>\n";
  }
  return fmt::format(
      "<h3>Confusion matrix</h3>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" "
      "aria-label=\"Confusion "
      "matrix\"><table class=\"matrix\"><caption>Rows are true classes, columns predicted ones; "
      "out of "
      "fold</caption>\n<thead><tr>{}</tr></thead>\n<tbody>\n{}</tbody></table></div>\n",
      head, rows);
}

std::string pairs(const ReportData& data) {
  struct Pair {
    size_t actual, predicted;
    int64_t count;
  };
  std::vector<Pair> found;
  for (size_t r = 0; r < data.confusion_CC.size(); ++r) {
    for (size_t c = 0; c < data.confusion_CC[r].size(); ++c) {
      if (r != c && data.confusion_CC[r][c] > 0) found.push_back({r, c, data.confusion_CC[r][c]});
    }
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const Pair& a, const Pair& b) { return a.count > b.count; });
  if (found.size() > kListedPairs) found.resize(kListedPairs);
  std::string rows;
  for (const Pair& pair : found) {
    rows += fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td><td class=\"num\">{}</td></tr>\n",
                        escape(data.classes[pair.actual]), escape(data.classes[pair.predicted]),
                        html::count(pair.count));
  }
  return fmt::format(
      "<h3>Most confused</h3>\n<div class=\"scroll\"><table><thead><tr><th scope=\"col\">True "
      "class</th><th "
      "scope=\"col\">Predicted as</th><th scope=\"col\" class=\"num\">Samples</th></tr></thead>\n"
      "<tbody>\n{}</tbody></table></div>\n",
      rows);
}

std::string threshold_cell(double threshold) {
  if (std::isnan(threshold)) return "<td><small>the highest of its group</small></td>";
  return fmt::format("<td class=\"num\">{:.3f}</td>", threshold);
}

}  // namespace

std::string labels_section(const ReportData& data) {
  if (data.labels.empty()) return {};
  std::string rows;
  double f2 = 0;
  for (const ReportLabel& label : data.labels) {
    f2 += label.f2 / double(data.labels.size());
    rows += fmt::format("<tr><th scope=\"row\">{}</th><td class=\"num\">{}</td>{}{}{}{}</tr>\n",
                        escape(label.name), html::count(label.positives),
                        threshold_cell(label.threshold), bar_cell(label.f2),
                        bar_cell(label.precision), bar_cell(label.recall));
  }
  const std::string body = fmt::format(
      "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Labels\"><table "
      "class=\"sortable\">\n"
      "<thead><tr><th scope=\"col\">Label</th><th scope=\"col\" class=\"num\">Samples</th><th "
      "scope=\"col\" "
      "class=\"num\">Threshold</th><th scope=\"col\" class=\"num\">F2</th><th scope=\"col\" "
      "class=\"num\">Precision</th>"
      "<th scope=\"col\" class=\"num\">Recall</th></tr></thead>\n<tbody>\n{}</tbody>\n"
      "<tfoot><tr><th scope=\"row\">mean over labels</th><td></td><td></td><td "
      "class=\"num\">{}</td><td></td><td></td>"
      "</tr></tfoot></table></div>\n",
      rows, html::score(f2));
  return html::section("labels", "Labels",
                       "How well the final ensemble finds each label, out of fold. A label is "
                       "predicted where its score is "
                       "above its threshold; of an exclusive group, where it is the highest.",
                       body);
}

std::string classes_section(const ReportData& data) {
  const size_t num_classes = data.classes.size();
  if (num_classes == 0 || data.confusion_CC.size() != num_classes) return {};
  std::vector<int64_t> predicted(num_classes, 0);
  for (const auto& row : data.confusion_CC) {
    for (size_t c = 0; c < num_classes && c < row.size(); ++c) predicted[c] += row[c];
  }
  std::string rows;
  for (size_t r = 0; r < num_classes; ++r) {
    const auto& row = data.confusion_CC[r];
    if (row.size() != num_classes) return {};
    const int64_t total = std::accumulate(row.begin(), row.end(), int64_t{0});
    size_t other = num_classes;  // what it is mistaken for most often
    for (size_t c = 0; c < num_classes; ++c) {
      if (c != r && row[c] > 0 && (other == num_classes || row[c] > row[other])) other = c;
    }
    const double right = double(row[r]);
    rows += fmt::format(
        "<tr><th scope=\"row\">{}</th><td class=\"num\">{}</td>{}{}<td>{}</td></tr>\n",
        escape(data.classes[r]), html::count(total), bar_cell(total ? right / double(total) : NAN),
        bar_cell(predicted[r] ? right / double(predicted[r]) : NAN),
        other == num_classes ? "–"
                             : fmt::format("{} <small>({})</small>", escape(data.classes[other]),
                                           html::count(row[other])));
  }
  const std::string body = fmt::format(
      "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Classes\"><table "
      "class=\"sortable\">\n"
      "<thead><tr><th scope=\"col\">Class</th><th scope=\"col\" class=\"num\">Samples</th><th "
      "scope=\"col\" "
      "class=\"num\">Accuracy</th><th scope=\"col\" class=\"num\">Precision</th><th "
      "scope=\"col\">Mostly mistaken "
      "for</th></tr></thead>\n<tbody>\n{}</tbody></table></div>\n{}",
      rows, num_classes <= kLargestMatrix ? matrix(data) : pairs(data));
  return html::section(
      "classes", "Classes",
      "How well the final ensemble recognises each class, out of fold. Accuracy is the share of "
      "the class "
      "that was recognised, precision the share of its predictions that were right.",
      body);
}

std::string weights_section(const ReportData& data) {
  if (data.weights_ML.empty() || data.weights_ML.size() != data.weight_models.size()) return {};
  double scale = 0;
  for (const auto& row : data.weights_ML) {
    if (row.size() != data.weight_labels.size()) return {};
    for (const double weight : row) {
      if (std::isfinite(weight)) scale = std::max(scale, std::abs(weight));
    }
  }
  // Labels downwards and models across: there are more labels than models, and pages are long
  // rather than wide.
  std::string head = "<th scope=\"col\">Label</th>";
  for (const std::string& model : data.weight_models) {
    head += fmt::format("<th scope=\"col\" class=\"num\">{}</th>", escape(model));
  }
  std::string rows;
  for (size_t l = 0; l < data.weight_labels.size(); ++l) {
    rows += fmt::format("<tr><th scope=\"row\">{}</th>", escape(data.weight_labels[l]));
    for (size_t m = 0; m < data.weights_ML.size(); ++m) {
      const double weight = data.weights_ML[m][l];
      const bool minus = weight <= -.0005;  // what is not zero once it is rounded
      const std::string text =
          std::isfinite(weight) ? fmt::format("{}{:.3f}", minus ? "−" : "", std::abs(weight)) : "–";
      rows +=
          html::tinted_cell(weight, scale, text,
                            data.weight_models[m] + " for " + data.weight_labels[l] + ": " + text);
    }
    rows += "</tr>\n";
  }
  return html::section(
      "weights", "Stack weights",
      "What the second level of the stack makes of each model, label by label: blue adds, red "
      "subtracts. Mean over the fits "
      "that leave one fold out.",
      fmt::format("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Stack "
                  "weights\"><table "
                  "class=\"matrix "
                  "weights\">\n<thead><tr>{}</tr></thead>\n<tbody>\n{}</tbody></table></div>\n",
                  head, rows));
}

}  // namespace baleen
