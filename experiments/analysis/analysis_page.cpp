#include "experiments/analysis/analysis_page.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>

#include "experiments/analysis/page_parts.h"
#include "experiments/report/document.h"
#include "experiments/report/html.h"

namespace baleen {
namespace {

using html::escape;

// More rows of labels in folds, of all models together, make the page heavy.
constexpr size_t kFoldRows = 1500;

std::string figure_cells(const Figures& figures) {
  std::string cells;
  for (const Interval& interval :
       {figures.f, figures.f1, figures.accuracy, figures.auc, figures.log_loss})
    cells += interval_cell(interval);
  return cells;
}

std::vector<std::string> figure_heads(std::vector<std::string> first, const std::string& f,
                                      const std::vector<std::string>& last = {}) {
  for (const std::string& title :
       {f, std::string("F1"), std::string("Accuracy"), std::string("AUC"), std::string("Log loss")})
    first.push_back(title);
  first.insert(first.end(), last.begin(), last.end());
  return first;
}

std::string sortable(const std::string& title, const std::vector<std::string>& heads,
                     const std::string& rows) {
  return scroll(
      title, "<table class=\"sortable\">" + head(heads) + "<tbody>\n" + rows + "</tbody></table>");
}

std::string scores(const Analysis& analysis) {
  std::string rows, folds;
  // The metric has a column of its own where it is none of the figures.
  const std::string f = f_title(analysis);
  const bool own_column = has_own_column(analysis);
  std::vector<std::string> models = {"Model"}, by_fold = {"Model", "Fold", "Samples"};
  if (own_column) {
    models.push_back(analysis.metric);
    by_fold.push_back(analysis.metric);
  }
  for (const ModelAnalysis& model : analysis.models) {
    rows += fmt::format("<tr><th scope=\"row\">{}</th>{}{}{}<td class=\"num\">{:.2f}</td></tr>\n",
                        escape(model.name), own_column ? interval_cell(model.score) : "",
                        figure_cells(model.figures), number_cell(model.calibration.expected_error),
                        model.calibration.temperature);
    for (size_t k = 0; k < model.figures_by_fold.size(); ++k) {
      folds += fmt::format(
          "<tr><th scope=\"row\">{}</th><td class=\"num\">{}</td><td "
          "class=\"num\">{}</td>{}{}</tr>\n",
          escape(model.name), k, html::count(model.figures_by_fold[k].samples),
          own_column ? number_cell(model.by_fold[k]) : "", figure_cells(model.figures_by_fold[k]));
    }
  }
  return sortable("Models", figure_heads(models, f, {"Calibration error", "Temperature"}), rows) +
         "<details><summary>By fold</summary>" +
         sortable("Models by fold", figure_heads(by_fold, f), folds) + "</details>\n";
}

/// Each label's figures in each fold; of many, none: analysis.json has them.
std::string labels_by_fold(const ModelAnalysis& model, const Analysis& analysis) {
  std::string rows;
  const size_t num_rows = model.labels.size() * model.figures_by_fold.size();
  if (num_rows * analysis.models.size() > kFoldRows) return {};
  for (const LabelAnalysis& label : model.labels) {
    for (size_t k = 0; k < label.by_fold.size(); ++k) {
      rows += fmt::format(
          "<tr><th scope=\"row\">{}</th><td class=\"num\">{}</td><td "
          "class=\"num\">{}</td>{}</tr>\n",
          escape(label.label), k, html::count(label.by_fold[k].positives),
          figure_cells(label.by_fold[k]));
    }
  }
  return "<details><summary>By fold</summary>" +
         sortable(model.name + " by label and fold",
                  figure_heads({"Label", "Fold", "Samples"}, f_title(analysis)), rows) +
         "</details>\n";
}

std::string labels_of(const ModelAnalysis& model, const Analysis& analysis) {
  std::string rows;
  for (const LabelAnalysis& label : model.labels) {
    rows += fmt::format("<tr><th scope=\"row\">{}</th><td class=\"num\">{}</td>{}{}{}</tr>\n",
                        escape(label.label), html::count(label.figures.positives),
                        figure_cells(label.figures), number_cell(label.precision),
                        number_cell(label.recall));
  }
  return sortable(model.name + " by label",
                  figure_heads({"Label", "Samples"}, f_title(analysis), {"Precision", "Recall"}),
                  rows) +
         labels_by_fold(model, analysis);
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
                            labels_of(model, analysis));
  }
  add("by-label", "By label", "Decisions at thresholds found without each fold.", by_label);
  add("simulation", "Simulated leaderboards",
      "How far a public leaderboard may mislead: random halves of the samples as its public and "
      "private part.",
      simulation_body(analysis));
  add("relations", "Labels together",
      "Blue: labels that come together, red: labels that avoid each other (correlation φ). Labels "
      "that correlate are neighbours.",
      relations_body(analysis));
  std::string diagrams;
  for (const ModelAnalysis& model : analysis.models) diagrams += diagram(model);
  add("calibration", "Calibration",
      "How often a prediction comes true, over how likely it was said to be: on the diagonal "
      "where both agree. Larger dots stand for more decisions.",
      "<div class=\"samples\">\n" + diagrams + "</div>\n");
  add("diversity", "Diversity",
      "What the models do not have in common is what an ensemble gains "
      "by.",
      diversity_body(analysis));
  add("loss-metric", "Loss against metric",
      "A lower loss is not always a better metric: each point is an epoch; below, which epoch each "
      "would have chosen.",
      learning_body(analysis));
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
