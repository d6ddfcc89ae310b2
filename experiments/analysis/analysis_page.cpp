#include "experiments/analysis/analysis_page.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>

#include "experiments/report/document.h"
#include "experiments/report/html.h"

namespace baleen {
namespace {

using html::escape;

// Beyond this a matrix is too wide to be read.
constexpr size_t kLargestMatrix = 40;

std::string scroll(const std::string& title, const std::string& table) {
  return fmt::format(
      "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}\">{}</div>\n",
      escape(title), table);
}

std::string head(const std::vector<std::string>& columns) {
  std::string row;
  for (size_t c = 0; c < columns.size(); ++c)
    row +=
        fmt::format("<th scope=\"col\"{}>{}</th>", c ? " class=\"num\"" : "", escape(columns[c]));
  return "<thead><tr>" + row + "</tr></thead>\n";
}

std::string number_cell(double value) {
  return fmt::format("<td class=\"num\">{}</td>", html::score(value));
}

std::string interval_cell(const Interval& interval) {
  return fmt::format("<td class=\"num\">{} <small>{}–{}</small></td>", html::score(interval.value),
                     html::score(interval.low), html::score(interval.high));
}

std::string scores(const Analysis& analysis) {
  std::vector<std::string> columns{"Model", analysis.metric + " (95 %)", "Log loss",
                                   "AUC",   "Calibration error",         "Temperature"};
  for (int64_t k = 0; k < analysis.num_folds; ++k) columns.push_back(fmt::format("Fold {}", k));
  std::string rows;
  for (const ModelAnalysis& model : analysis.models) {
    rows += fmt::format("<tr><th scope=\"row\">{}</th>{}{}{}{}<td class=\"num\">{:.2f}</td>",
                        escape(model.name), interval_cell(model.score), number_cell(model.log_loss),
                        number_cell(model.auc), number_cell(model.calibration.expected_error),
                        model.calibration.temperature);
    for (const double value : model.by_fold) rows += number_cell(value);
    rows += "</tr>\n";
  }
  return scroll("Models", "<table class=\"sortable\">" + head(columns) + "<tbody>\n" + rows +
                              "</tbody></table>");
}

std::string labels_of(const ModelAnalysis& model) {
  std::string rows;
  for (const LabelAnalysis& label : model.labels) {
    rows += fmt::format("<tr><th scope=\"row\">{}</th><td class=\"num\">{}</td>{}{}{}{}{}{}</tr>\n",
                        escape(label.label), html::count(label.positives), interval_cell(label.f),
                        number_cell(label.precision), number_cell(label.recall),
                        number_cell(label.accuracy), interval_cell(label.auc),
                        number_cell(label.log_loss));
  }
  return scroll(model.name + " by label",
                "<table class=\"sortable\">" +
                    head({"Label", "Samples", "F (95 %)", "Precision", "Recall", "Accuracy",
                          "AUC (95 %)", "Log loss"}) +
                    "<tbody>\n" + rows + "</tbody></table>");
}

std::string matrix(const std::string& title, const std::vector<std::string>& names,
                   const at::Tensor& values, double scale, int decimals) {
  const std::string top = "<td></td>" + html::slanted_heads(names);
  std::string rows;
  for (size_t r = 0; r < names.size(); ++r) {
    rows += fmt::format("<tr><th scope=\"row\">{}</th>", escape(names[r]));
    for (size_t c = 0; c < names.size(); ++c) {
      const double value = values[static_cast<int64_t>(r)][static_cast<int64_t>(c)].item<double>();
      const std::string digits = fmt::format("{:.{}f}", std::abs(value), decimals);
      const bool is_zero = digits.find_first_not_of("0.") == std::string::npos;
      const std::string text =
          std::isfinite(value) ? (value < 0 && !is_zero ? "−" : "") + digits : "";
      rows += html::tinted_cell(std::isfinite(value) && r != c ? value : 0, scale, text,
                                names[r] + ", " + names[c] + ": " + (text.empty() ? "–" : text));
    }
    rows += "</tr>\n";
  }
  return scroll(title, fmt::format("<table class=\"matrix\"><thead><tr>{}</tr></thead>\n<tbody>\n"
                                   "{}</tbody></table>",
                                   top, rows));
}

/// A reliability diagram: the share of positives over the mean prediction of each bin.
std::string diagram(const ModelAnalysis& model) {
  constexpr double kSide = 200, kMargin = 26;
  const auto x = [&](double value) { return kMargin + value * kSide; };
  const auto y = [&](double value) { return 8 + (1 - value) * kSide; };
  std::string points, line;
  int64_t largest = 1;
  for (const Calibration::Bin& bin : model.calibration.bins) largest = std::max(largest, bin.count);
  for (const Calibration::Bin& bin : model.calibration.bins) {
    if (bin.count == 0) continue;
    line +=
        fmt::format("{}{:.1f},{:.1f}", line.empty() ? "" : " ", x(bin.predicted), y(bin.observed));
    points += fmt::format(
        "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{:.1f}\" fill=\"currentColor\"><title>predicted "
        "{:.3f}, observed {:.3f}, {} decisions</title></circle>",
        x(bin.predicted), y(bin.observed), 2 + 5 * std::sqrt(double(bin.count) / double(largest)),
        bin.predicted, bin.observed, html::count(bin.count));
  }
  return fmt::format(
      "<figure class=\"sample\"><svg viewBox=\"0 0 240 240\" role=\"img\" aria-label=\"Calibration "
      "of {0}\" "
      "style=\"width:100%\">"
      "<rect x=\"{1}\" y=\"8\" width=\"{2}\" height=\"{2}\" fill=\"none\" stroke=\"currentColor\" "
      "stroke-opacity=\".35\"/><line x1=\"{1}\" y1=\"{3}\" x2=\"{4}\" y2=\"8\" "
      "stroke=\"currentColor\" stroke-opacity=\".35\" stroke-dasharray=\"4 4\"/>"
      "<polyline points=\"{5}\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"1.5\"/>{6}"
      "<text x=\"{1}\" y=\"226\" font-size=\"11\" fill=\"currentColor\">0</text>"
      "<text x=\"{7}\" y=\"226\" font-size=\"11\" fill=\"currentColor\">predicted 1</text>"
      "<text x=\"2\" y=\"18\" font-size=\"11\" fill=\"currentColor\">1</text></svg>"
      "<figcaption>{0}</figcaption></figure>\n",
      escape(model.name), kMargin, kSide, 8 + kSide, kMargin + kSide, line, points,
      kMargin + kSide - 58);
}

std::string confusing(const Analysis& analysis, const SamplePictures& pictures) {
  std::string items;
  for (const ConfusingSample& sample : analysis.confusing) {
    const auto picture = pictures.find(sample.id);
    items += "<figure class=\"sample bad\">";
    if (picture != pictures.end()) items += html::picture(picture->second, sample.id);
    items += fmt::format(
        "<figcaption><strong>{}</strong><br>loss {:.2f}, models apart by {:.2f}{}{}</figcaption>"
        "</figure>\n",
        escape(sample.id), sample.loss, sample.disagreement,
        sample.missed.empty()
            ? ""
            : "<br>missed: " + escape(fmt::format("{}", fmt::join(sample.missed, ", "))),
        sample.false_alarms.empty()
            ? ""
            : "<br>false: " + escape(fmt::format("{}", fmt::join(sample.false_alarms, ", "))));
  }
  return "<div class=\"samples\">\n" + items + "</div>\n";
}

std::string relations(const Analysis& analysis) {
  std::string body;
  if (!analysis.relations.groups.empty()) {
    body += "<p>Labels that never occur together:</p><ul>\n";
    for (const auto& [group, share] : analysis.relations.groups) {
      std::vector<std::string> names;
      for (const int64_t label : group)
        names.push_back(analysis.labels[static_cast<size_t>(label)]);
      body += fmt::format("<li>{} <small>({:.1f} % of the samples have one of them)</small></li>\n",
                          escape(fmt::format("{}", fmt::join(names, ", "))), 100 * share);
    }
    body += "</ul>\n";
  }
  if (analysis.labels.size() <= kLargestMatrix)
    body += matrix("Correlation of labels", analysis.labels, analysis.relations.phi_LL, 1, 2);
  return body;
}

std::string diversity(const Analysis& analysis) {
  std::vector<std::string> names;
  for (int64_t m = 0; m < analysis.diversity.disagreement_MM.size(0); ++m)
    names.push_back(analysis.models[static_cast<size_t>(m)].name);
  if (names.size() < 2) return {};
  return "<h3>Correlation of errors</h3>\n" +
         matrix("Correlation of errors", names, analysis.diversity.error_correlation_MM, 1, 2) +
         "<h3>Decisions that differ</h3>\n" +
         matrix("Decisions that differ", names, analysis.diversity.disagreement_MM, 0.2, 3);
}

std::string learning(const Analysis& analysis) {
  if (analysis.learning.empty()) return {};
  std::string rows;
  for (const LossAgainstMetric& chain : analysis.learning) {
    rows += fmt::format(
        "<tr><th scope=\"row\">{}</th><td class=\"num\">{}</td><td class=\"num\">{}</td>{}<td "
        "class=\"num\">{}</td>{}{}</tr>\n",
        escape(chain.chain), chain.epochs, chain.best_epoch_by_loss,
        number_cell(chain.metric_at_best_loss), chain.best_epoch_by_metric,
        number_cell(chain.best_metric), number_cell(chain.correlation));
  }
  return scroll("Loss against metric", "<table class=\"sortable\">" +
                                           head({"Chain", "Epochs", "Least loss at", "Metric there",
                                                 "Best metric at", "Best metric", "Correlation"}) +
                                           "<tbody>\n" + rows + "</tbody></table>");
}

}  // namespace

std::vector<PageSection> analysis_sections(const Analysis& analysis,
                                           const SamplePictures& pictures) {
  std::vector<PageSection> sections;
  const auto add = [&](const char* id, const char* title, const char* lead,
                       const std::string& body) {
    if (!body.empty()) sections.push_back({id, title, html::section(id, title, lead, body)});
  };
  add("models", "Models", "Out of fold, with 95 % intervals over samples.", scores(analysis));
  std::string by_label;
  for (size_t m = analysis.models.size(); m-- > 0;) {
    const ModelAnalysis& model = analysis.models[m];
    by_label += fmt::format("<details{}><summary>{}</summary>{}</details>\n",
                            m + 1 == analysis.models.size() ? " open" : "", escape(model.name),
                            labels_of(model));
  }
  add("by-label", "By label", "Decisions at thresholds found without each fold.", by_label);
  add("relations", "Labels together",
      "Blue: labels that come together, red: labels that avoid each other (correlation φ).",
      relations(analysis));
  std::string diagrams;
  for (const ModelAnalysis& model : analysis.models) diagrams += diagram(model);
  add("calibration", "Calibration",
      "How often a prediction comes true, over how likely it was said to be: on the diagonal "
      "where both agree. Larger dots stand for more decisions.",
      "<div class=\"samples\">\n" + diagrams + "</div>\n");
  add("diversity", "Diversity",
      "What the models do not have in common is what an ensemble gains "
      "by.",
      diversity(analysis));
  add("loss-metric", "Loss against metric",
      "A lower loss is not always a better metric: which epoch each would have chosen.",
      learning(analysis));
  if (!analysis.confusing.empty())
    add("confusing", "Confusing samples",
        "The largest losses of the models' mean: hard samples, or wrong labels.",
        confusing(analysis, pictures));
  return sections;
}

std::string render_page(const std::string& title, const std::string& lead,
                        const std::vector<PageSection>& sections) {
  return render_document(
      {.title = title, .header = "<p>" + escape(lead) + "</p>\n", .sections = sections});
}

}  // namespace baleen
