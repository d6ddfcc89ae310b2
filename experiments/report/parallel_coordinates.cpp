#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "core/config/node.h"
#include "experiments/report/html.h"
#include "experiments/report/sections.h"

namespace baleen {
namespace {

using html::escape;

// In units of the drawing, which scales to the width of the page.
constexpr double kStep = 190;    // between two axes
constexpr double kMargin = 110;  // left and right of them, for labels
constexpr double kTop = 46;
constexpr double kHeight = 260;  // of an axis
constexpr size_t kMostTicks = 8;
constexpr size_t kLongestLabel = 18;
constexpr size_t kLongestKey = 26;

/// The end of a long key is what tells it from others, the beginning of a long value.
std::string shortened_key(const std::string& key) {
  if (key.size() <= kLongestKey) return key;
  const std::string end = key.substr(key.size() - kLongestKey + 1);
  const size_t dot = end.find('.');
  return "…" + (dot == std::string::npos ? end : end.substr(dot + 1));
}

std::string shortened_value(const std::string& value) {
  if (value.size() <= kLongestLabel) return value;
  size_t length = kLongestLabel - 1;
  // Not in the middle of a character.
  while (length > 0 && (static_cast<unsigned char>(value[length]) & 0xC0) == 0x80) --length;
  return value.substr(0, length) + "…";
}

struct Tick {
  double height = 0;  ///< in [0, 1], from below
  std::string label;
  std::string full;
};

/// One vertical axis: where each trial crosses it, and what stands beside it.
struct Axis {
  std::string title;
  std::vector<std::optional<double>> heights;  ///< by trial
  std::vector<Tick> ticks;
};

void number_axis(Axis& axis, const std::vector<std::optional<double>>& values, bool log) {
  std::vector<double> known;
  for (const auto& value : values)
    if (value && std::isfinite(*value)) known.push_back(*value);
  std::sort(known.begin(), known.end());
  known.erase(std::unique(known.begin(), known.end()), known.end());
  if (known.empty()) {
    axis.heights.assign(values.size(), std::nullopt);
    return;
  }
  const auto scaled = [log](double value) { return log ? std::log(value) : value; };
  const double low = scaled(known.front()), high = scaled(known.back());
  const auto height = [&](double value) {
    return high > low ? (scaled(value) - low) / (high - low) : 0.5;
  };
  for (const auto& value : values)
    axis.heights.push_back(value && std::isfinite(*value) ? std::optional(height(*value))
                                                          : std::nullopt);
  constexpr double kLeastGap = 0.055;  // of labels that do not touch
  bool all_fit = known.size() <= kMostTicks;
  for (size_t i = 1; i < known.size(); ++i)
    all_fit = all_fit && height(known[i]) - height(known[i - 1]) >= kLeastGap;
  if (all_fit) {
    for (const double value : known)
      axis.ticks.push_back({height(value), fmt::format("{:.4g}", value), ""});
    return;
  }
  constexpr int kParts = 4;
  for (int i = 0; i <= kParts; ++i) {
    const double at = low + (high - low) * i / kParts;
    axis.ticks.push_back(
        {static_cast<double>(i) / kParts, fmt::format("{:.3g}", log ? std::exp(at) : at), ""});
  }
}

void name_axis(Axis& axis, const std::vector<std::string>& values) {
  std::vector<std::string> names;
  for (const std::string& value : values)
    if (std::find(names.begin(), names.end(), value) == names.end()) names.push_back(value);
  const auto height = [&](size_t index) {
    return names.size() > 1 ? static_cast<double>(index) / static_cast<double>(names.size() - 1)
                            : 0.5;
  };
  for (const std::string& value : values)
    axis.heights.push_back(
        height(static_cast<size_t>(std::find(names.begin(), names.end(), value) - names.begin())));
  // Where there are many, every n-th has a label.
  constexpr size_t kMostNames = 16;
  const size_t stride = (names.size() + kMostNames - 1) / kMostNames;
  for (size_t i = 0; i < names.size(); i += stride)
    axis.ticks.push_back({height(i), shortened_value(names[i]), names[i]});
}

Axis axis_of_key(const ReportSweep& sweep, size_t index) {
  Axis axis;
  axis.title = sweep.axes[index].key;
  std::vector<std::string> texts;
  std::vector<std::optional<double>> numbers;
  bool all_numbers = true, all_positive = true;
  for (const ReportTrial& trial : sweep.trials) {
    texts.push_back(trial.values[index]);
    all_numbers = all_numbers && config::looks_like_number(texts.back());
    numbers.emplace_back(std::strtod(texts.back().c_str(), nullptr));
    all_positive = all_positive && *numbers.back() > 0;
  }
  if (all_numbers) {
    number_axis(axis, numbers, sweep.axes[index].log && all_positive);
  } else {
    name_axis(axis, texts);
  }
  return axis;
}

double x_of(size_t axis) { return kMargin + kStep * static_cast<double>(axis); }
double y_of(double height) { return kTop + kHeight * (1 - height); }

/// Smooth, so that a line can be followed across an axis where many meet.
std::string path_of(const std::vector<Axis>& axes, size_t trial) {
  std::string path;
  double x = 0, y = 0;
  for (size_t a = 0; a < axes.size(); ++a) {
    const std::optional<double>& height = axes[a].heights[trial];
    if (!height) break;
    const double next_x = x_of(a), next_y = y_of(*height);
    path += path.empty() ? fmt::format("M{:.1f} {:.1f}", next_x, next_y)
                         : fmt::format("C{:.1f} {:.1f} {:.1f} {:.1f} {:.1f} {:.1f}", x + kStep / 2,
                                       y, next_x - kStep / 2, next_y, next_x, next_y);
    x = next_x;
    y = next_y;
  }
  return path;
}

std::string line_of(const ReportSweep& sweep, const std::vector<Axis>& axes, size_t index) {
  const ReportTrial& trial = sweep.trials[index];
  std::string hover =
      fmt::format("trial {}: {} {}", trial.name, sweep.metric, html::score(trial.score));
  for (size_t a = 0; a < sweep.axes.size(); ++a)
    hover += fmt::format("\n{} = {}", sweep.axes[a].key, trial.values[a]);
  const std::optional<double>& height = axes.back().heights[index];
  const bool finished = trial.state == ReportTrial::State::kFinished && height;
  const double quality = height ? (sweep.larger_is_better ? *height : 1 - *height) : 0;
  return fmt::format("<path class=\"{}\" style=\"--q:{:.0f}%\" d=\"{}\"><title>{}</title></path>\n",
                     trial.best ? "top"
                     : finished ? ""
                                : "other",
                     100 * quality, path_of(axes, index), escape(hover));
}

std::string drawn_axis(const Axis& axis, size_t index, size_t num_axes) {
  const double x = x_of(index);
  std::string out = fmt::format(
      "<line class=\"axis\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1:.1f}\" y2=\"{2:.1f}\"></line>\n",
      x, y_of(1), y_of(0));
  out += fmt::format(
      "<text class=\"key-name\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}<title>{}"
      "</title></text>\n",
      x, kTop - 22, escape(shortened_key(axis.title)), escape(axis.title));
  const bool last = index + 1 == num_axes;
  for (const Tick& tick : axis.ticks) {
    const double y = y_of(tick.height);
    out += fmt::format(
        "<line class=\"axis\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\"></line>"
        "<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}{}</text>\n",
        x - 4, x + 4, y, y, last ? x + 9 : x - 9, y + 4, last ? "start" : "end", escape(tick.label),
        tick.full.empty() ? "" : fmt::format("<title>{}</title>", escape(tick.full)));
  }
  return out;
}

}  // namespace

std::string parallel_coordinates(const ReportSweep& sweep) {
  const bool any_score = std::any_of(
      sweep.trials.begin(), sweep.trials.end(),
      [](const ReportTrial& trial) { return trial.score && std::isfinite(*trial.score); });
  if (!any_score) return {};
  std::vector<Axis> axes;
  for (size_t a = 0; a < sweep.axes.size(); ++a) axes.push_back(axis_of_key(sweep, a));
  Axis& score = axes.emplace_back();
  score.title = sweep.metric_title;
  std::vector<std::optional<double>> scores;
  for (const ReportTrial& trial : sweep.trials) scores.push_back(trial.score);
  number_axis(score, scores, false);

  // The best line is drawn last, above all others; unfinished ones first.
  std::vector<size_t> order(sweep.trials.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  const auto depth = [&](size_t index) {
    const ReportTrial& trial = sweep.trials[index];
    return trial.best ? 2 : trial.state == ReportTrial::State::kFinished ? 1 : 0;
  };
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return depth(a) < depth(b); });
  std::string lines, drawn;
  for (const size_t index : order) lines += line_of(sweep, axes, index);
  for (size_t a = 0; a < axes.size(); ++a) drawn += drawn_axis(axes[a], a, axes.size());
  const double width = 2 * kMargin + kStep * static_cast<double>(axes.size() - 1);
  // Narrow drawings keep their size instead of growing to the page's width.
  return fmt::format(
      "<div class=\"scroll\"><div class=\"parallel\"><svg viewBox=\"0 0 {:.0f} {:.0f}\" "
      "style=\"max-width:{:.0f}px;min-width:{:.0f}px\" role=\"img\" aria-label=\"Each trial as a "
      "line across its values to its score; the same numbers are in the table below\">\n"
      "{}{}</svg></div></div>\n"
      "<p class=\"legend\"><span>worse<i class=\"ramp\"></i>better</span> <span>bold green: the "
      "best trial</span> <span>dashed: not trained to the end</span></p>\n",
      width, kTop + kHeight + 18, 1.2 * width, 0.62 * width, lines, drawn);
}

}  // namespace baleen
