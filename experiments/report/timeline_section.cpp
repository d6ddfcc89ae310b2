#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "experiments/report/html.h"
#include "experiments/report/sections.h"

namespace baleen {
namespace {

using html::escape;

/// The smallest round step that cuts `length` into at most eight parts.
double tick_step(double length_s) {
  for (const double step :
       {0.1,  0.2,  0.5,  1.,    2.,    5.,    10.,    20.,    30.,    60.,   120.,
        300., 600., 900., 1800., 3600., 7200., 14400., 21600., 43200., 86400.}) {
    if (length_s / step <= 8) return step;
  }
  return 86400 * std::max(1.0, length_s / 86400 / 8);
}

std::string tick_label(double time_s) {
  const auto whole = std::llround(time_s);
  if (time_s < 60) return fmt::format("{:g} s", time_s);
  if (whole < 3600) {
    return whole % 60 ? fmt::format("{}:{:02} min", whole / 60, whole % 60)
                      : fmt::format("{} min", whole / 60);
  }
  return fmt::format("{}:{:02} h", whole / 3600, whole / 60 % 60);
}

/// Position of each backbone in the table of scores, which gives its colour.
std::map<std::string, size_t> colours(const ReportData& data) {
  std::map<std::string, size_t> result;
  for (const ReportScores& row : data.scores) {
    if (row.kind == ReportScores::Kind::kModel) result.emplace(row.name, result.size());
  }
  for (const ReportSpan& span : data.timeline) result.emplace(span.backbone, result.size());
  return result;
}

/// "trial 0007, " of a sweep's chain.
std::string trial_of(const ReportSpan& span) {
  const size_t slash = span.chain.find('/');
  return slash == std::string::npos ? "" : fmt::format("trial {}, ", span.chain.substr(0, slash));
}

}  // namespace

std::string timeline_section(const ReportData& data) {
  if (data.timeline.empty()) return {};
  double end_s = 0;
  std::map<int, std::vector<const ReportSpan*>> lanes;
  for (const ReportSpan& span : data.timeline) {
    end_s = std::max(end_s, span.end_s);
    lanes[span.rank].push_back(&span);
  }
  for (const ReportMark& mark : data.marks) end_s = std::max(end_s, mark.time_s);
  if (end_s <= 0) return {};
  const auto percent = [&](double time_s) { return 100 * std::clamp(time_s / end_s, 0.0, 1.0); };
  const std::map<std::string, size_t> colour = colours(data);

  std::string ticks;
  const double step = tick_step(end_s);
  for (int i = 0; i * step <= end_s * 1.0001; ++i) {
    ticks += fmt::format("<span style=\"left:{:.3f}%\">{}</span>", percent(i * step),
                         tick_label(i * step));
  }
  std::string marks;
  for (const ReportMark& mark : data.marks) {
    marks += fmt::format("<i class=\"mark\" style=\"left:{:.3f}%\" title=\"{}\"></i>",
                         percent(mark.time_s),
                         escape(fmt::format("{} at {}", mark.text, html::duration(mark.time_s))));
  }
  std::string rows, table;
  for (const auto& [rank, spans] : lanes) {
    std::string bars;
    double busy = 0;
    for (const ReportSpan* span : spans) {
      busy += std::max(0.0, span->end_s - span->start_s);
      const std::string text = fmt::format(
          "{}{}, fold {}, stage {} ({} px): {} to {}, {}{}", trial_of(*span), span->backbone,
          span->fold, span->stage + 1, span->size_px, html::duration(span->start_s),
          html::duration(span->end_s), html::duration(span->end_s - span->start_s),
          span->failed ? ", ended by a failure" : "");
      bars += fmt::format(
          "<span class=\"span c{} s{}{}\" tabindex=\"0\" style=\"left:{:.3f}%;width:{:.3f}%\" "
          "title=\"{}\" aria-label=\"{}\">"
          "<b>{}</b></span>",
          colour.at(span->backbone) % 8, span->stage % 2, span->failed ? " failed" : "",
          percent(span->start_s), std::max(0.15, percent(span->end_s) - percent(span->start_s)),
          escape(text), escape(text), span->fold);
      table += fmt::format(
          "<tr><td class=\"num\">{}</td><th scope=\"row\">{}</th><td class=\"num\">{}</td><td "
          "class=\"num\">{} px</td><td "
          "class=\"num\">{}</td><td class=\"num\">{}</td><td>{}</td></tr>\n",
          rank, escape(trial_of(*span) + span->backbone), span->fold, span->size_px,
          html::duration(span->start_s), html::duration(span->end_s - span->start_s),
          span->failed ? "failed" : "");
    }
    rows += fmt::format(
        "<div class=\"lane\"><div class=\"who\">rank {} <small>{:.0f} % busy</small></div><div "
        "class=\"track\">{}{}</div></div>\n",
        rank, 100 * std::min(1.0, busy / end_s), bars, marks);
  }
  std::string legend;
  std::vector<std::string> names(colour.size());
  for (const auto& [name, index] : colour) names[index] = name;
  for (size_t i = 0; i < names.size(); ++i) {
    legend +=
        fmt::format("<span><span class=\"key c{}\"></span>{}</span> ", i % 8, escape(names[i]));
  }
  for (const ReportMark& mark : data.marks) {
    legend += fmt::format("<span><i class=\"mark\"></i>{} <small>({})</small></span> ",
                          escape(mark.text), html::duration(mark.time_s));
  }
  const std::string body = fmt::format(
      "<div class=\"scroll\"><div class=\"gantt\">\n{}<div class=\"lane axis\" "
      "aria-hidden=\"true\"><div "
      "class=\"who\"></div><div class=\"track\">{}</div></div></div></div>\n<p "
      "class=\"legend\">{}</p>\n"
      "<details><summary>The same as a table</summary>\n<div class=\"scroll\" tabindex=\"0\" "
      "role=\"region\" "
      "aria-label=\"Timeline as a table\"><table><thead><tr><th scope=\"col\" "
      "class=\"num\">Rank</th><th "
      "scope=\"col\">Model</th><th scope=\"col\" class=\"num\">Fold</th><th scope=\"col\" "
      "class=\"num\">Stage</th><th "
      "scope=\"col\" class=\"num\">Start</th><th scope=\"col\" class=\"num\">Duration</th><th "
      "scope=\"col\">Note</th></tr>"
      "</thead>\n<tbody>\n{}</tbody></table></div></details>\n",
      rows, ticks, legend, table);
  return html::section(
      "timeline", "Who ran what when",
      "One lane per rank; the number in a bar is the fold, the lighter bars are first stages.",
      body);
}

}  // namespace baleen
