#include "experiments/report/report.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <regex>

#include "core/base/error.h"
#include "experiments/report/assets.h"
#include "experiments/report/html.h"
#include "experiments/report/sections.h"
#include "tests/experiments/large_report.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

using testing::example_report;

size_t occurrences(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

/// The page without the content of its style and script elements, whose text is not markup.
std::string markup_of(const std::string& page) {
  std::string rest;
  size_t at = 0;
  while (true) {
    const size_t script = page.find("<script", at), style = page.find("<style", at);
    const size_t begin = std::min(script, style);
    if (begin == std::string::npos) return rest + page.substr(at);
    const std::string end_tag = script < style ? "</script>" : "</style>";
    const size_t open_end = page.find('>', begin) + 1, end = page.find(end_tag, open_end);
    if (end == std::string::npos) throw std::runtime_error("element without its end");
    rest += page.substr(at, open_end - at);
    at = end;
  }
}

/// Every element is closed in order, as in XML; returns what is wrong, or an empty text.
std::string check_nesting(const std::string& markup) {
  const std::set<std::string> empty_elements = {"meta", "img", "br", "hr"};
  std::vector<std::string> open;
  for (size_t at = markup.find('<'); at != std::string::npos; at = markup.find('<', at + 1)) {
    if (markup.compare(at, 2, "<!") == 0) continue;
    const bool closes = markup[at + 1] == '/';
    const size_t name_begin = at + 1 + closes;
    size_t name_end = name_begin;
    while (std::isalnum(static_cast<unsigned char>(markup[name_end]))) ++name_end;
    const std::string name = markup.substr(name_begin, name_end - name_begin);
    if (name.empty()) return "stray < at " + markup.substr(at, 40);
    if (closes) {
      if (open.empty() || open.back() != name) {
        return "</" + name + "> closes <" + (open.empty() ? "" : open.back()) + "> near " +
               markup.substr(at, 60);
      }
      open.pop_back();
    } else if (!empty_elements.contains(name)) {
      open.push_back(name);
    }
  }
  return open.empty() ? "" : "<" + open.back() + "> is never closed";
}

TEST(Report, ShowsEverySectionOfAMultiLabelRun) {
  const ReportData data = example_report(TargetKind::kMultiLabel);
  const std::string page = render_report(data);
  EXPECT_EQ(page.rfind("<!DOCTYPE html>", 0), 0u);
  EXPECT_LT(page.size(), 5u << 20);
  EXPECT_EQ(check_nesting(markup_of(page)), "");
  for (const char* id :
       {"problems", "scores", "labels", "curves", "weights", "timeline", "samples", "settings"}) {
    EXPECT_EQ(occurrences(page, std::string("<section class=\"card\" id=\"") + id + "\""), 1u)
        << id;
    EXPECT_EQ(occurrences(page, std::string("<a href=\"#") + id + "\""), 1u) << id;
  }
  EXPECT_EQ(page.find("id=\"classes\""), std::string::npos);
  EXPECT_NE(page.find("0.8546"), std::string::npos);
  EXPECT_NE(page.find("+0.0102</strong> against the best single model, resnet18"),
            std::string::npos);
  EXPECT_NE(page.find("+0.0044</strong> against the plain mean"), std::string::npos);
  EXPECT_EQ(occurrences(page, "class=\"span "), data.timeline.size());
  EXPECT_EQ(occurrences(page, "<img "), data.samples.size());
  for (const ReportLabel& label : data.labels) EXPECT_NE(page.find(label.name), std::string::npos);
}

// They showed the threshold that the search starts with, which decides nothing.
TEST(Report, LabelsOfExclusiveGroupsShowNoThreshold) {
  ReportData data = example_report(TargetKind::kMultiLabel);
  const std::string sign = "highest of its group";
  EXPECT_EQ(render_report(data).find(sign), std::string::npos);
  data.labels[2].threshold = std::nan("");
  for (const std::string& shown : {render_report(data), report_text(data)})
    EXPECT_EQ(occurrences(shown, sign), 1u);
}

TEST(Report, ShowsClassesAndTheirConfusion) {
  const std::string page = render_report(example_report(TargetKind::kSingleClass));
  EXPECT_EQ(check_nesting(markup_of(page)), "");
  EXPECT_NE(page.find("id=\"classes\""), std::string::npos);
  EXPECT_EQ(page.find("id=\"labels\""), std::string::npos);
  EXPECT_NE(page.find("T-shirt <small>(690)</small>"), std::string::npos)
      << "shirt is mistaken for T-shirt";
  EXPECT_NE(page.find("predicted as T-shirt"), std::string::npos);

  ReportData many = example_report(TargetKind::kSingleClass);
  many.classes.clear();
  for (size_t c = 0; c < 60; ++c) many.classes.push_back("class" + std::to_string(c));
  many.confusion_CC.assign(60, std::vector<int64_t>(60, 1));
  many.confusion_CC[3][4] = 77;
  const std::string listed = render_report(many);
  EXPECT_EQ(check_nesting(markup_of(listed)), "");
  EXPECT_NE(
      listed.find("<tr><th scope=\"row\">class3</th><td>class4</td><td class=\"num\">77</td></tr>"),
      std::string::npos);
}

TEST(Report, NeedsNothingFromOutside) {
  const std::string page = render_report(example_report(TargetKind::kMultiLabel));
  const std::string markup = markup_of(page);
  EXPECT_FALSE(std::regex_search(markup, std::regex("(src|href)=\"(?!#|data:)")));
  EXPECT_EQ(markup.find("<link"), std::string::npos);
  EXPECT_EQ(std::string(report_css()).find("url("), std::string::npos);
  EXPECT_NE(page.find("default-src 'none'"), std::string::npos);
  EXPECT_NE(chart_js().find("Chart.js"), std::string::npos) << "the build did not find Chart.js";
  EXPECT_EQ(occurrences(page, "</script>"), 3u);
}

TEST(Report, EscapesEveryString) {
  const std::string evil = "</script><script>alert('x')</script><b a=\"q\" & \x1b[31m \xff";
  ReportData data = example_report(TargetKind::kMultiLabel);
  for (std::string* text : {&data.run_name, &data.description, &data.baleen_version, &data.started,
                            &data.config_yaml, &data.metric_title}) {
    *text = evil;
  }
  for (auto* list : {&data.summary, &data.environment}) list->front() = {evil, evil};
  for (ReportScores& row : data.scores) row.name = evil + row.name;
  for (ReportLabel& label : data.labels) label.name = evil;
  for (MetricsRecord& record : data.metrics) record.backbone = record.chain = evil;
  for (ReportSpan& span : data.timeline) span.chain = span.backbone = evil;
  data.marks[0].text = data.warnings[0] = data.weight_models[0] = data.weight_labels[0] = evil;
  data.failures[0] = {evil, evil, evil};
  data.samples[0] = {ReportSample::Group::kBest, evil, evil, evil, evil, evil};
  for (const TargetKind kind : {TargetKind::kMultiLabel, TargetKind::kSingleClass}) {
    if (kind == TargetKind::kSingleClass) {
      const ReportData classes = example_report(kind);
      data.classes = classes.classes;
      data.classes[2] = evil;
      data.confusion_CC = classes.confusion_CC;
    }
    const std::string page = render_report(data);
    EXPECT_EQ(page.find("<script>alert"), std::string::npos);
    EXPECT_EQ(page.find("<b a="), std::string::npos);
    EXPECT_EQ(page.find('\x1b'), std::string::npos);
    EXPECT_EQ(page.find('\xff'), std::string::npos);
    EXPECT_EQ(occurrences(page, "</script>"), 3u);
    EXPECT_EQ(check_nesting(markup_of(page)), "");
  }
}

TEST(Report, HoldsTheSeriesOfTheCurves) {
  const ReportData data = example_report(TargetKind::kMultiLabel);
  const std::string page = render_report(data);
  const std::string begin = "<script type=\"application/json\" id=\"curve-data\">";
  const size_t at = page.find(begin) + begin.size();
  const auto curves = nlohmann::json::parse(page.substr(at, page.find("</script>", at) - at));
  ASSERT_EQ(curves["models"].size(), 2u);
  EXPECT_EQ(curves["models"][1]["name"], "resnet18")
      << "the order of the scores, not of the records";
  const auto& folds = curves["models"][1]["folds"];
  ASSERT_EQ(folds.size(), 3u);
  ASSERT_EQ(folds[2]["points"].size(), 18u);
  const MetricsRecord& first = data.metrics[0];  // resnet18, fold 0, epoch 1
  const auto& point = folds[0]["points"][0];
  EXPECT_EQ(point[0], first.epoch);
  EXPECT_EQ(point[2], first.size_px);
  EXPECT_NEAR(point[3].get<double>(), first.train_loss, 1e-5);
  EXPECT_NEAR(point[4].get<double>(), first.val.at("loss"), 1e-5);
  EXPECT_NEAR(point[5].get<double>(), first.val.at("f2"), 1e-5);
  EXPECT_EQ(folds[0]["points"][12][1], 1) << "the second stage";
}

TEST(Report, SaysWhatTheStackLost) {
  ReportData data = example_report(TargetKind::kMultiLabel);
  data.scores[3].oof = .8400;
  const std::string page = render_report(data);
  EXPECT_NE(page.find("class=\"loss\">−0.0044</strong> against the best single model"),
            std::string::npos);
}

TEST(Report, ARunThatHasJustStartedHasAPageToo) {
  ReportData data;
  data.run_name = "fresh";
  data.chains_planned = 6;
  const std::string page = render_report(data);
  EXPECT_EQ(check_nesting(markup_of(page)), "");
  EXPECT_NE(page.find("unfinished"), std::string::npos);
  EXPECT_EQ(page.find("<section"), std::string::npos);

  data = example_report(TargetKind::kMultiLabel);
  data.scores[1].folds[2].reset();
  for (ReportScores& row : data.scores) row.oof = row.test = {};
  data.metrics.resize(5);
  data.metrics[2].train_loss = data.metrics[3].val["f2"] = NAN;
  const std::string partial = render_report(data);
  EXPECT_EQ(check_nesting(markup_of(partial)), "");
  EXPECT_NE(partial.find(",null,"), std::string::npos);
  EXPECT_EQ(markup_of(partial).find("nan"), std::string::npos);
}

// 11 networks on 5 folds, with all that a run's recipe can ask for in pictures, within 5 MB.
TEST(Report, FiftyFiveChainsFitIntoFiveMegabytes) {
  const std::pair<int64_t, int64_t> cases[] = {{60, 24}, {1000, 500}};
  for (const auto& [epochs, samples] : cases) {
    const ReportData data = testing::large_report(epochs, samples);
    const size_t bytes = render_report(data).size();
    std::printf("55 chains, %lld epochs, %lld samples: %.2f MB\n", static_cast<long long>(epochs),
                static_cast<long long>(samples), double(bytes) / 1e6);
    EXPECT_LT(bytes, 5u << 20);
  }
}

TEST(Report, LongCurvesKeepTheEndsOfTheirStages) {
  const std::string json = curves_json(testing::large_report(1001, 0));
  const auto points = nlohmann::json::parse(json)["models"][0]["folds"][0]["points"];
  EXPECT_LE(points.size(), 205u);
  EXPECT_GE(points.size(), 100u);
  std::set<int64_t> epochs;
  for (const auto& point : points) epochs.insert(point[0].get<int64_t>());
  for (const int64_t end : {1, 500, 501, 1001}) EXPECT_TRUE(epochs.contains(end)) << end;
}

TEST(Report, TheSmallerOfBothFormatsHoldsAPicture) {
  Image flat(96, 96, 3);
  EXPECT_EQ(embedded_picture(flat.view(), 96).find("image/png;base64,"), 0u);
  EXPECT_EQ(embedded_picture(testing::busy_image(96, 1).view(), 96).find("image/jpeg;base64,"), 0u);
  EXPECT_EQ(html::picture("image/png;base64,AAA\" onload=\"x", "evil"), "");
  EXPECT_EQ(html::picture("text/html;base64,AAAA", "evil"), "");
  EXPECT_NE(html::picture("image/png;base64,AAAA", "<good>").find("alt=\"&lt;good&gt;\""),
            std::string::npos);
}

TEST(Report, ATerminalGetsTables) {
  const std::string text = report_text(example_report(TargetKind::kMultiLabel));
  for (const char* part : {"planet-small: complete", "6 of 6 chains finished in", "on 2 ranks",
                           "failure of resnet18-f1-s1 (communication)", "warning: label blow_down"})
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  EXPECT_TRUE(std::regex_search(text, std::regex("F2 +fold 0 +fold 1 +fold 2 +out of fold +test")));
  EXPECT_TRUE(std::regex_search(
      text, std::regex("stack +0\\.8531 +0\\.8609 +0\\.8498 +0\\.8546 +0\\.8496\n")));
  EXPECT_TRUE(std::regex_search(text, std::regex("primary +\\d+ +0\\.530 ")));
  const std::string classes = report_text(example_report(TargetKind::kSingleClass));
  EXPECT_TRUE(std::regex_search(classes, std::regex("shirt, T-shirt +690\n"))) << classes;
  EXPECT_EQ(report_text({.run_name = "fresh", .description = "x"}).find("fresh: unfinished"), 0u);
}

TEST(Report, IsWrittenInOnePiece) {
  const testing::TemporaryDirectory folder;
  const ReportData data = example_report(TargetKind::kSingleClass);
  write_report(folder / "report.html", data);
  EXPECT_EQ(std::filesystem::file_size(folder / "report.html"), render_report(data).size());
  EXPECT_THROW(write_report(folder / "none/report.html", data), Error);
}

TEST(ReportHtml, FormatsForReaders) {
  EXPECT_EQ(html::score(0.91234), "0.9123");
  EXPECT_EQ(html::score({}), "–");
  EXPECT_EQ(html::signed_score(-0.0042), "−0.0042");
  EXPECT_EQ(html::difference(-0.0042), "<span class=\"loss\">−0.0042</span>");
  EXPECT_EQ(html::difference(0.0001, "strong"), "<strong class=\"gain\">+0.0001</strong>");
  EXPECT_EQ(html::difference(-0.00004), "<span class=\"same\">−0.0000</span>");
  EXPECT_EQ(html::difference(NAN), "<span class=\"same\">–</span>");
  EXPECT_EQ(html::duration(8.24), "8.2 s");
  EXPECT_EQ(html::duration(754), "12 min 34 s");
  EXPECT_EQ(html::duration(3839), "1 h 04 min");
  EXPECT_EQ(html::count(1234567), "1,234,567");
  EXPECT_EQ(html::count(-999), "-999");
  EXPECT_EQ(html::escape("é<&>\"'\xc3"), "é&lt;&amp;&gt;&quot;&#39;\xef\xbf\xbd");
}

TEST(ReportTest, ASweepsTrialsAreATableAndLines) {
  ReportData data = example_report(TargetKind::kSingleClass);
  EXPECT_EQ(occurrences(render_report(data), "id=\"trials\""), 0u);
  ReportSweep& sweep = data.sweep.emplace();
  sweep.method = "random";
  sweep.metric = "accuracy";
  sweep.metric_title = "Accuracy";
  sweep.axes = {{"stages.0.optimizer.lr", true}, {"backbones", false}};
  using State = ReportTrial::State;
  sweep.trials.resize(4);
  const char* rates[] = {"0.001", "0.01", "0.1", "1"};
  const char* networks[] = {"[{\"name\":\"resnet18\"}]", "<b>&", "[{\"name\":\"resnet18\"}]", "x"};
  for (size_t t = 0; t < 4; ++t) {
    sweep.trials[t].name = fmt::format("000{}", t);
    sweep.trials[t].values = {rates[t], networks[t]};
    sweep.trials[t].state = t == 3 ? State::kStopped : State::kFinished;
    sweep.trials[t].state_text = t == 3 ? "stopped" : "finished";
    if (t < 3) sweep.trials[t].score = 0.8 + 0.05 * double(t % 2);
  }
  sweep.trials[1].best = true;
  sweep.trials[3].note = "the loss is not finite <here>";
  const std::string page = render_report(data);
  const std::string markup = markup_of(page);
  EXPECT_EQ(check_nesting(markup), "");
  EXPECT_EQ(occurrences(markup, "<path class"), 4u);
  EXPECT_EQ(occurrences(markup, "class=\"top\""), 1u);
  EXPECT_NE(markup.find("0001 ★"), std::string::npos);
  EXPECT_EQ(markup.find("<b>&<"), std::string::npos) << "a value was not escaped";
  EXPECT_NE(markup.find("not finite &lt;here&gt;"), std::string::npos);
  // The best stands first in the table, the stopped one last.
  const size_t table = markup.find("aria-label=\"Trials\"");
  EXPECT_LT(markup.find(">Accuracy<", table), markup.find("<tbody>", table));
  EXPECT_LT(markup.find(">0001 ★", table), markup.find(">0000<", table));
  EXPECT_LT(markup.find(">0002<", table), markup.find(">0003<", table));
  EXPECT_NE(markup.find("4 trials by random: 3 finished, 1 stopped; larger"), std::string::npos);
  sweep.trials[3].state = State::kFailed;
  sweep.trials[2].state = State::kPaused;
  EXPECT_NE(render_report(data).find(": 2 finished, 1 paused, 1 failed;"), std::string::npos);
}

TEST(ReportTest, LinesCrossTheirAxesWhereTheValuesAre) {
  ReportSweep sweep;
  sweep.metric = "loss";
  sweep.larger_is_better = false;
  sweep.axes = {{"lr", true}};
  for (const char* lr : {"0.01", "0.1", "1"}) {
    ReportTrial& trial = sweep.trials.emplace_back();
    trial.values = {lr};
    trial.state = ReportTrial::State::kFinished;
    trial.score = std::stod(lr);
  }
  const std::string svg = parallel_coordinates(sweep);
  // On the logarithmic axis the middle value is in the middle; on the score's it is at 0.0909.
  std::smatch start;
  std::vector<double> heights;
  const std::regex path("d=\"M[0-9.]+ ([0-9.]+)C[^\"]* ([0-9.]+)\"");
  std::vector<std::pair<double, double>> lines;
  for (auto it = std::sregex_iterator(svg.begin(), svg.end(), path); it != std::sregex_iterator();
       ++it)
    lines.emplace_back(std::stod((*it)[1]), std::stod((*it)[2]));
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_NEAR(lines[1].first, (lines[0].first + lines[2].first) / 2, 0.1);
  EXPECT_NEAR((lines[0].second - lines[1].second) / (lines[0].second - lines[2].second),
              0.09 / 0.99, 0.002);
  EXPECT_NE(svg.find("--q:100%"), std::string::npos);
  EXPECT_LT(svg.find("--q:100%"), svg.find("--q:0%")) << "the smallest loss is the best";
}

}  // namespace
}  // namespace baleen
