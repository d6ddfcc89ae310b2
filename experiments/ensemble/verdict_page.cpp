#include "experiments/ensemble/verdict_page.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <sstream>

#include "experiments/report/document.h"
#include "experiments/report/html.h"

namespace baleen {
namespace {

using html::escape;

std::string paragraphs(const std::string& lines) {
  std::istringstream stream(lines);
  std::string out;
  for (std::string line; std::getline(stream, line);) {
    if (!line.empty()) out += "<p>" + escape(line) + "</p>\n";
  }
  return out;
}

std::string number_cell(double value, const char* more = "") {
  return fmt::format("<td class=\"num{}\">{}</td>", more, html::score(value));
}

std::string row_of(const StackVerdict& verdict, size_t place) {
  const Contestant& c = verdict.contestants[place];
  std::string row = fmt::format("<tr><th scope=\"row\">{}</th>", escape(c.name));
  row += number_cell(c.score.value, place == verdict.best ? " best" : "");
  row += fmt::format("<td class=\"num\">{} to {}</td>", html::score(c.score.low),
                     html::score(c.score.high));
  if (place == verdict.best_model) {
    row += "<td class=\"num\">–</td><td class=\"num\">the best model</td>";
  } else {
    row += fmt::format("<td class=\"num\">{}</td><td class=\"num\">{} to {}</td>",
                       html::difference(c.difference.value), html::signed_score(c.difference.low),
                       html::signed_score(c.difference.high));
  }
  if (verdict.metric == StackMetric::kF) row += number_cell(c.at_start);
  return row + number_cell(c.log_loss) + number_cell(c.auc) + "</tr>\n";
}

std::string table_of(const StackVerdict& verdict, const StackJob& job) {
  std::vector<std::string> columns = {metric_title(verdict, job), "95 % interval",
                                      "To the best model", "95 % interval"};
  if (verdict.metric == StackMetric::kF)
    columns.push_back(fmt::format("At {:g}", job.thresholds.start));
  columns.insert(columns.end(), {"Log loss", "AUC"});
  std::string head = "<th scope=\"col\">Candidate</th>", rows;
  for (const std::string& column : columns)
    head += fmt::format("<th scope=\"col\" class=\"num\">{}</th>", escape(column));
  for (size_t place = 0; place < verdict.contestants.size(); ++place)
    rows += row_of(verdict, place);
  return fmt::format(
      "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Second stage\"><table "
      "class=\"sortable\">\n<thead><tr>{}</tr></thead>\n<tbody>\n{}</tbody></table></div>\n",
      head, rows);
}

/// Which models the combinations took.
std::string choices(const StackVerdict& verdict, const std::vector<std::string>& models) {
  const auto weights = [&](const CrossFittedBlend& blend) {
    std::vector<std::string> parts;
    for (size_t m = 0; m < models.size(); ++m) {
      if (blend.final.weights_M[m] > 0)
        parts.push_back(fmt::format("{} {:.2f}", models[m], blend.final.weights_M[m]));
    }
    return fmt::format("{}", fmt::join(parts, ", "));
  };
  std::string text = fmt::format("greedy weighs {}.\nblend weighs {}.\n", weights(verdict.greedy),
                                 weights(verdict.blend));
  if (!verdict.stable.empty())
    text += fmt::format("stable takes {}.\n", fmt::join(verdict.stable, ", "));
  return text;
}

}  // namespace

PageSection verdict_section(const StackVerdict& verdict, const LoadedStack& loaded,
                            const StackJob& job) {
  return {
      "second-stage", "Second stage",
      html::section("second-stage", "Second stage",
                    "Combinations of the models, fitted and judged out of fold; differences "
                    "are paired, on the same samples.",
                    paragraphs(verdict_in_words(verdict, loaded, job)) + table_of(verdict, job) +
                        paragraphs(choices(verdict, loaded.input.models)))};
}

std::string render_verdict(const StackVerdict& verdict, const LoadedStack& loaded,
                           const StackJob& job) {
  const StackInput& input = loaded.input;
  HtmlDocument document;
  document.title = "Stack";
  document.header =
      "<p>" +
      escape(fmt::format("{} models, {} samples, {} {}; folds from {}", input.models.size(),
                         html::count(std::ssize(input.ids)), input.labels.size(),
                         input.classes ? "classes" : "labels", loaded.fold_source)) +
      "</p>\n";
  std::string notes;
  for (const std::string& warning : loaded.warnings)
    notes += fmt::format("<li class=\"unsure\">{}</li>\n", escape(warning));
  for (const std::string& model : loaded.left_out)
    notes += fmt::format("<li class=\"unsure\">left out: {}</li>\n", escape(model));
  if (!notes.empty()) {
    document.sections.push_back({"problems", "Warnings",
                                 html::section("problems", "Warnings", "",
                                               "<ul class=\"problems\">\n" + notes + "</ul>\n")});
  }
  document.sections.push_back(verdict_section(verdict, loaded, job));
  document.navigation = document.sections.size() > 1;
  return render_document(document);
}

}  // namespace baleen
