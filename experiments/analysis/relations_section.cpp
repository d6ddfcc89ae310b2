#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <numeric>

#include "experiments/analysis/page_parts.h"
#include "experiments/report/html.h"

namespace baleen {
namespace {

using html::escape;

// Beyond this a matrix is too wide to be read.
constexpr size_t kLargestMatrix = 40;
constexpr size_t kListedPairs = 60;

/// Rows and columns in the order of `order`.
std::string matrix(const std::string& title, const std::vector<std::string>& all_names,
                   const std::vector<int64_t>& order, const at::Tensor& all_values, double scale,
                   int decimals) {
  std::vector<std::string> names;
  for (const int64_t place : order) names.push_back(all_names[static_cast<size_t>(place)]);
  const at::Tensor places = at::tensor(order, at::kLong);
  const at::Tensor values = all_values.index_select(0, places).index_select(1, places);
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

std::string groups(const Analysis& analysis) {
  if (analysis.relations.groups.empty()) return {};
  std::string body = "<p>Labels that never occur together:</p><ul>\n";
  for (const auto& [group, share] : analysis.relations.groups) {
    std::vector<std::string> names;
    for (const int64_t label : group) names.push_back(analysis.labels[static_cast<size_t>(label)]);
    body += fmt::format("<li>{} <small>({:.1f} % of the samples have one of them)</small></li>\n",
                        escape(fmt::format("{}", fmt::join(names, ", "))), 100 * share);
  }
  return body + "</ul>\n";
}

std::string disjoint_pairs(const Analysis& analysis) {
  const auto& pairs = analysis.relations.disjoint;
  // Classes are disjoint by what they are.
  if (pairs.empty() || analysis.classes) return {};
  std::string items;
  for (size_t i = 0; i < std::min(pairs.size(), kListedPairs); ++i) {
    items += fmt::format("<li>{} and {}</li>\n",
                         escape(analysis.labels[static_cast<size_t>(pairs[i].first)]),
                         escape(analysis.labels[static_cast<size_t>(pairs[i].second)]));
  }
  if (pairs.size() > kListedPairs)
    items += fmt::format("<li>{} more, in analysis.json</li>\n", pairs.size() - kListedPairs);
  return fmt::format(
      "<details><summary>{} pairs that never occur together</summary><ul>\n{}</ul></details>\n",
      pairs.size(), items);
}

}  // namespace

std::string relations_body(const Analysis& analysis) {
  const LabelRelations& relations = analysis.relations;
  std::string body = groups(analysis);
  if (analysis.labels.size() <= kLargestMatrix) {
    const auto table = [&](const char* title, const at::Tensor& values_LL) {
      return matrix(title, analysis.labels, relations.order, values_LL, 1, 2);
    };
    body += table("Correlation of labels", relations.phi_LL);
    body +=
        "<details><summary>Share of the samples with the row's label that have the column's, "
        "too</summary>" +
        table("Conditional shares", relations.conditional_LL) + "</details>\n";
    body += "<details><summary>Samples with both labels, of those with either (Jaccard)</summary>" +
            table("Jaccard", relations.jaccard_LL) + "</details>\n";
  }
  return body + disjoint_pairs(analysis);
}

std::string diversity_body(const Analysis& analysis) {
  std::vector<std::string> names;
  for (int64_t m = 0; m < analysis.diversity.disagreement_MM.size(0); ++m)
    names.push_back(analysis.models[static_cast<size_t>(m)].name);
  if (names.size() < 2) return {};
  std::vector<int64_t> order(names.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  return "<h3>Correlation of errors</h3>\n" +
         matrix("Correlation of errors", names, order, analysis.diversity.error_correlation_MM, 1,
                2) +
         "<h3>Decisions that differ</h3>\n" +
         matrix("Decisions that differ", names, order, analysis.diversity.disagreement_MM, 0.2, 3);
}

}  // namespace baleen
