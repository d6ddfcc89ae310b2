#include <fmt/format.h>

#include <algorithm>

#include "experiments/report/html.h"
#include "experiments/report/sections.h"

namespace baleen {
namespace {

using html::escape;
using Group = ReportSample::Group;

std::string entries(const std::vector<ReportEntry>& list) {
  std::string out = "<dl>\n";
  for (const auto& [name, value] : list) {
    out += fmt::format("<dt>{}</dt><dd>{}</dd>\n", escape(name), escape(value));
  }
  return out + "</dl>\n";
}

}  // namespace

std::string samples_section(const ReportData& data) {
  if (data.samples.empty()) return {};
  const struct {
    Group group;
    const char* title;
    const char* css;
  } groups[] = {{Group::kWorst, "Furthest from the truth", "bad"},
                {Group::kConfusing, "Hardest to decide", "unsure"},
                {Group::kBest, "Surest and right", "good"}};
  std::string body;
  for (const auto& [group, title, css] : groups) {
    std::string figures;
    for (const ReportSample& sample : data.samples) {
      if (sample.group != group) continue;
      figures += fmt::format(
          "<figure class=\"sample {}\">{}<figcaption><dl>"
          "<dt>true</dt><dd>{}</dd><dt>predicted</dt><dd>{}</dd></dl><small>{}{}{}</small></"
          "figcaption></figure>\n",
          group == Group::kWorst && sample.truth == sample.predicted ? "unsure" : css,
          html::picture(sample.picture, "sample " + sample.id), escape(sample.truth),
          escape(sample.predicted), escape(sample.id), sample.note.empty() ? "" : " · ",
          escape(sample.note));
    }
    if (!figures.empty())
      body += fmt::format("<h3>{}</h3>\n<div class=\"samples\">\n{}</div>\n", title, figures);
  }
  return html::section("samples", "Samples", "Predicted by models that never saw them.", body);
}

std::string problems_section(const ReportData& data) {
  if (data.warnings.empty() && data.failures.empty()) return {};
  std::string body;
  if (!data.failures.empty()) {
    body += "<h3>Failures</h3>\n<ul class=\"problems\">\n";
    for (const ReportFailure& failure : data.failures) {
      body +=
          fmt::format("<li class=\"bad\"><strong>{}</strong> <small>{}</small><pre>{}</pre></li>\n",
                      escape(failure.what), escape(failure.kind), escape(failure.message));
    }
    body += "</ul>\n";
  }
  if (!data.warnings.empty()) {
    body += "<h3>Warnings</h3>\n<ul class=\"problems\">\n";
    for (const std::string& warning : data.warnings) {
      body += fmt::format("<li class=\"unsure\">{}</li>\n", escape(warning));
    }
    body += "</ul>\n";
  }
  return html::section("problems", "Failures and warnings", "", body);
}

std::string settings_section(const ReportData& data) {
  std::string body;
  if (!data.summary.empty()) body += "<div><h3>Recipe</h3>\n" + entries(data.summary) + "</div>\n";
  if (!data.environment.empty())
    body += "<div><h3>Environment</h3>\n" + entries(data.environment) + "</div>\n";
  if (!body.empty()) body = "<div class=\"columns\">\n" + body + "</div>\n";
  if (!data.config_yaml.empty()) {
    body += fmt::format(
        "<details><summary>Resolved configuration</summary><pre "
        "tabindex=\"0\">{}</pre></details>\n",
        escape(data.config_yaml));
  }
  return body.empty() ? std::string()
                      : html::section("settings", "Settings and environment", "", body);
}

}  // namespace baleen
