#include "experiments/report/report.h"

#include <fmt/format.h>

#include "core/base/atomic_file.h"
#include "experiments/report/document.h"
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
        out +=
            tile("Best trial", escape(trial.name),
                 fmt::format("{} {}", escape(data.sweep->metric_title), html::score(trial.score)));
    }
  }
  for (const bool on_test : {true, false}) {
    const auto gain = find_gain(data, on_test);
    if (!gain) continue;
    out +=
        tile(escape(data.title_of_scores()) + (on_test ? ", held-out test set" : ", out of fold"),
             html::score(gain->stack),
             fmt::format("{} · {} against {}", escape(gain->stack_name),
                         html::difference(gain->stack - gain->best_model),
                         escape(gain->best_model_name)));
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
  HtmlDocument document;
  const auto add = [&](const char* id, const char* title, std::string content) {
    if (!content.empty()) document.sections.push_back({id, title, std::move(content)});
  };
  add("problems", "Problems", problems_section(data));
  add("trials", "Trials", trials_section(data));
  add("scores", "Scores", scores_section(data));
  add("labels", "Labels", labels_section(data));
  add("classes", "Classes", classes_section(data));
  add("curves", "Curves", curves_section(data));
  add("weights", "Stack weights", weights_section(data));
  add("timeline", "Timeline", timeline_section(data));
  add("samples", "Samples", samples_section(data));
  document.sections.insert(document.sections.end(), data.parts.begin(), data.parts.end());
  add("settings", "Settings", settings_section(data));
  document.title = data.run_name;
  document.badge = badge(data);
  document.header = "<p>" + escape(data.description) + "</p>\n" + tiles(data);
  document.curves = curves_json(data);
  document.generator = data.baleen_version;
  document.footer = fmt::format(
      "Made by Baleen {}{}. Charts: Chart.js (MIT licence).", escape(data.baleen_version),
      data.started.empty() ? "" : "; run started " + escape(data.started));
  return render_document(document);
}

void write_report(const std::filesystem::path& file, const ReportData& data) {
  write_file_atomically(file, render_report(data));
}

}  // namespace baleen
