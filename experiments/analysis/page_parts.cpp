#include "experiments/analysis/page_parts.h"

#include <fmt/format.h>

#include <cmath>

#include "experiments/report/html.h"

namespace baleen {

std::string scroll(const std::string& title, const std::string& table) {
  return fmt::format(
      "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}\">{}</div>\n",
      html::escape(title), table);
}

std::string head(const std::vector<std::string>& columns) {
  std::string row;
  for (size_t c = 0; c < columns.size(); ++c)
    row += fmt::format("<th scope=\"col\"{}>{}</th>", c ? " class=\"num\"" : "",
                       html::escape(columns[c]));
  return "<thead><tr>" + row + "</tr></thead>\n";
}

std::string number_cell(double value) {
  return fmt::format("<td class=\"num\">{}</td>", html::score(value));
}

std::string interval_cell(const Interval& interval) {
  if (!std::isfinite(interval.low)) return number_cell(interval.value);
  return fmt::format("<td class=\"num\">{} <small>{}–{}</small></td>", html::score(interval.value),
                     html::score(interval.low), html::score(interval.high));
}

}  // namespace baleen
