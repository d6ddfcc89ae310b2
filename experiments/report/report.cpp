#include "experiments/report/report.h"

#include <fmt/format.h>

#include "core/base/atomic_file.h"
#include "experiments/report/assets.h"
#include "experiments/report/html.h"
#include "experiments/report/sections.h"

namespace baleen {
namespace {

using html::escape;

std::string badge(const ReportData& data) {
  switch (data.status) {
    case ReportData::Status::kComplete:
      return "<span class=\"badge good\">✓ complete</span>";
    case ReportData::Status::kFailed:
      return "<span class=\"badge bad\">✕ failed</span>";
    case ReportData::Status::kUnfinished:
      break;
  }
  return "<span class=\"badge unsure\">… unfinished</span>";
}

std::string tile(std::string_view title, std::string_view value, std::string_view note) {
  return fmt::format("<div class=\"tile\"><dt>{}</dt><dd>{}</dd><dd class=\"note\">{}</dd></div>\n",
                     title, value, note);
}

std::string tiles(const ReportData& data) {
  std::string out;
  if (data.sweep) {
    for (const ReportTrial& trial : data.sweep->trials) {
      if (trial.best)
        out += tile("Best trial", escape(trial.name),
                    fmt::format("{} {}", escape(data.sweep->metric), html::score(trial.score)));
    }
  }
  for (const bool on_test : {true, false}) {
    const auto gain = find_gain(data, on_test);
    if (!gain) continue;
    const double difference = gain->stack - gain->best_model;
    out += tile(escape(data.metric_title) + (on_test ? ", held-out test set" : ", out of fold"),
                html::score(gain->stack),
                fmt::format("{} · <span class=\"{}\">{}</span> against {}",
                            escape(gain->stack_name), difference < 0 ? "loss" : "gain",
                            html::signed_score(difference), escape(gain->best_model_name)));
  }
  if (data.chains_planned > 0) {
    out += tile("Chains finished",
                fmt::format("{} <small>of {}</small>", html::count(data.chains_finished),
                            html::count(data.chains_planned)),
                data.failures.empty()
                    ? ""
                    : fmt::format("<span class=\"loss\">{} failure{}</span>", data.failures.size(),
                                  data.failures.size() == 1 ? "" : "s"));
  }
  if (data.wall_seconds > 0) {
    out += tile(
        "Time", html::duration(data.wall_seconds),
        data.ranks > 0 ? fmt::format("on {} rank{}", data.ranks, data.ranks == 1 ? "" : "s") : "");
  }
  return out.empty() ? out : "<dl class=\"tiles\">\n" + out + "</dl>\n";
}

}  // namespace

std::string render_report(const ReportData& data) {
  const std::pair<const char*, std::string> sections[] = {
      {"Problems", problems_section(data)},     {"Trials", trials_section(data)},
      {"Scores", scores_section(data)},         {"Labels", labels_section(data)},
      {"Classes", classes_section(data)},       {"Curves", curves_section(data)},
      {"Stack weights", weights_section(data)}, {"Timeline", timeline_section(data)},
      {"Samples", samples_section(data)},       {"Settings", settings_section(data)}};
  const char* ids[] = {"problems", "trials",  "scores",   "labels",  "classes",
                       "curves",   "weights", "timeline", "samples", "settings"};
  std::string navigation, body;
  for (size_t i = 0; i < std::size(sections); ++i) {
    const auto& [name, content] = sections[i];
    if (content.empty()) continue;
    // What was analysed further stands between the samples and the settings.
    if (std::string_view(ids[i]) == "settings") {
      for (const ReportData::Part& part : data.parts) {
        navigation += fmt::format("<a href=\"#{}\">{}</a>\n", part.id, escape(part.title));
        body += part.html;
      }
    }
    navigation += fmt::format("<a href=\"#{}\">{}</a>\n", ids[i], name);
    body += content;
  }
  std::string page = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; "
      "style-src 'unsafe-inline'; "
      "script-src 'unsafe-inline'\">\n"
      "<meta name=\"generator\" content=\"Baleen {}\">\n<title>{} · Baleen</title>\n<style>\n",
      escape(data.baleen_version), escape(data.run_name));
  page += report_css();
  page += fmt::format(
      "</style>\n</head>\n<body>\n<a class=\"skip\" href=\"#main\">Skip to the "
      "results</a>\n<header>\n<div class=\"title\">"
      "<h1>{}</h1>{}</div>\n<p>{}</p>\n{}</header>\n<nav "
      "aria-label=\"Sections\"><div>\n{}</div></nav>\n"
      "<main id=\"main\">\n",
      escape(data.run_name), badge(data), escape(data.description), tiles(data), navigation);
  page += body;
  page += fmt::format(
      "</main>\n<footer><p>Made by Baleen {}{}. Charts: Chart.js (MIT licence).</p></footer>\n",
      escape(data.baleen_version),
      data.started.empty() ? "" : "; run started " + escape(data.started));
  page += "<script type=\"application/json\" id=\"curve-data\">" +
          html::embed_json(curves_json(data)) + "</script>\n";
  if (!chart_js().empty()) {
    page += "<script>\n";
    page += chart_js();
    page += "\n</script>\n";
  }
  page += "<script>\n";
  page += report_js();
  page += "</script>\n</body>\n</html>\n";
  return page;
}

void write_report(const std::filesystem::path& file, const ReportData& data) {
  write_file_atomically(file, render_report(data));
}

}  // namespace baleen
