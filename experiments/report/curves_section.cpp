#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "experiments/report/html.h"
#include "experiments/report/sections.h"

namespace baleen {
namespace {

using html::escape;
using Json = nlohmann::ordered_json;

double find(const std::map<std::string, double>& values, const std::string& name) {
  const auto found = values.find(name);
  return found == values.end() ? NAN : found->second;
}

Json number(double value) {
  if (!std::isfinite(value)) return nullptr;
  return std::stod(fmt::format("{:.6g}", value));  // enough for a screen, and a smaller page
}

// No screen shows more points of a curve; more would only make the page larger.
constexpr size_t kMostPoints = 200;

/// Records of each chain in order of epochs, chains grouped by backbone, both in order of
/// appearance.
struct Chain {
  int64_t fold = 0;
  std::string name;
  std::vector<const MetricsRecord*> records;
};
struct Model {
  std::string name;
  std::vector<Chain> chains;
};

std::vector<Model> group(const ReportData& data) {
  std::vector<Model> models;
  for (const ReportScores& row :
       data.scores) {  // the order of the table of scores gives the colours
    if (row.kind == ReportScores::Kind::kModel) models.push_back({row.name, {}});
  }
  for (const MetricsRecord& record : data.metrics) {
    auto model = std::find_if(models.begin(), models.end(),
                              [&](const Model& m) { return m.name == record.backbone; });
    if (model == models.end()) model = models.insert(models.end(), Model{record.backbone, {}});
    auto chain = std::find_if(model->chains.begin(), model->chains.end(),
                              [&](const Chain& c) { return c.name == record.chain; });
    if (chain == model->chains.end()) {
      chain = model->chains.insert(model->chains.end(), Chain{record.fold, record.chain, {}});
    }
    chain->records.push_back(&record);
  }
  std::erase_if(models, [](const Model& model) { return model.chains.empty(); });
  for (Model& model : models) {
    std::stable_sort(model.chains.begin(), model.chains.end(),
                     [](const Chain& a, const Chain& b) { return a.fold < b.fold; });
  }
  return models;
}

/// As many records as are drawn, evenly spread, with the first and last of each stage among them.
std::vector<const MetricsRecord*> thinned(const std::vector<const MetricsRecord*>& records) {
  const size_t step = (records.size() + kMostPoints - 1) / kMostPoints;
  std::vector<const MetricsRecord*> kept;
  for (size_t i = 0; i < records.size(); ++i) {
    const bool starts = i == 0 || records[i - 1]->stage != records[i]->stage;
    const bool ends = i + 1 == records.size() || records[i + 1]->stage != records[i]->stage;
    if (starts || ends || i % step == 0) kept.push_back(records[i]);
  }
  return kept;
}

/// One line per chain and stage: where the curves ended.
std::string table(const std::vector<Model>& models, const ReportData& data) {
  std::string rows;
  for (const Model& model : models) {
    for (const Chain& chain : model.chains) {
      for (size_t i = 0; i < chain.records.size();) {
        const int64_t stage = chain.records[i]->stage;
        const MetricsRecord *last = nullptr, *best = nullptr;
        int64_t epochs = 0;
        double seconds = 0;
        for (; i < chain.records.size() && chain.records[i]->stage == stage; ++i) {
          last = chain.records[i];
          ++epochs;
          if (std::isfinite(last->seconds)) seconds += last->seconds;
          const double value = find(last->val, data.metric);
          if (std::isfinite(value) && (!best || value > find(best->val, data.metric))) best = last;
        }
        rows += fmt::format(
            "<tr><th scope=\"row\">{}</th><td class=\"num\">{}</td><td class=\"num\">{} px</td><td "
            "class=\"num\">{}</td>"
            "<td class=\"num\">{}</td><td class=\"num\">{}</td><td class=\"num\">{}{}</td><td "
            "class=\"num\">{}</td></tr>\n",
            escape(model.name), chain.fold, last->size_px, epochs, html::score(last->train_loss),
            html::score(find(last->val, "loss")),
            html::score(best ? std::optional(find(best->val, data.metric)) : std::nullopt),
            best ? fmt::format(" <small>(epoch {})</small>", best->epoch) : "",
            html::duration(seconds));
      }
    }
  }
  return fmt::format(
      "<details id=\"curves-table\"><summary>The same as a table</summary>\n<div class=\"scroll\" "
      "tabindex=\"0\" "
      "role=\"region\" aria-label=\"Curves as a table\"><table><thead><tr><th "
      "scope=\"col\">Model</th><th scope=\"col\" "
      "class=\"num\">Fold</th><th scope=\"col\" class=\"num\">Stage</th><th scope=\"col\" "
      "class=\"num\">Epochs</th><th "
      "scope=\"col\" class=\"num\">Training loss</th><th scope=\"col\" class=\"num\">Held-out "
      "loss</th><th scope=\"col\" "
      "class=\"num\">Best {}</th><th scope=\"col\" "
      "class=\"num\">Time</th></tr></thead>\n<tbody>\n{}</tbody></table></div>"
      "</details>\n",
      escape(data.metric_title), rows);
}

}  // namespace

std::string curves_json(const ReportData& data) {
  Json models = Json::array();
  for (const Model& model : group(data)) {
    Json folds = Json::array();
    for (const Chain& chain : model.chains) {
      Json points = Json::array();
      for (const MetricsRecord* r : thinned(chain.records)) {
        points.push_back({r->epoch, r->stage, r->size_px, number(r->train_loss),
                          number(find(r->val, "loss")), number(find(r->val, data.metric))});
      }
      folds.push_back({{"fold", chain.fold}, {"chain", chain.name}, {"points", points}});
    }
    models.push_back({{"name", model.name}, {"folds", folds}});
  }
  return Json{{"metric", data.metric_title}, {"models", models}}.dump(
      -1, ' ', false, Json::error_handler_t::replace);
}

std::string curves_section(const ReportData& data) {
  const std::vector<Model> models = group(data);
  if (models.empty()) return {};
  std::string body =
      "<noscript><p class=\"note\">The curves are drawn by a script, which is off; the table below "
      "holds their "
      "ends.</p></noscript>\n<p class=\"note\" id=\"no-charts\" hidden>This page was made without "
      "its chart library; the "
      "table below holds the ends of the curves.</p>\n";
  for (size_t m = 0; m < models.size(); ++m) {
    body += fmt::format("<div class=\"model-curves\"><h3>{}</h3>\n<div class=\"charts\">\n",
                        escape(models[m].name));
    const std::string titles[3] = {"Training loss", "Held-out loss", data.metric_title};
    for (size_t q = 0; q < 3; ++q) {
      body += fmt::format(
          "<figure><figcaption>{1}</figcaption><div class=\"canvas\"><canvas data-model=\"{2}\" "
          "data-quantity=\"{3}\" "
          "role=\"img\" aria-label=\"{1} of {0} by epoch, one line per fold; numbers in the table "
          "below\"></canvas></div>"
          "</figure>\n",
          escape(models[m].name), escape(titles[q]), m, q);
    }
    body += "</div></div>\n";
  }
  return html::section(
      "curves", "Learning curves",
      "One line per fold over the epochs of its chain; dashed lines are changes of resolution.",
      body + table(models, data));
}

}  // namespace baleen
