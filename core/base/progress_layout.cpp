#include "core/base/progress_layout.h"

#include <algorithm>
#include <cmath>

namespace baleen {
namespace {

constexpr int64_t kMinBar = 8;
constexpr int64_t kMaxBar = 40;
constexpr int64_t kMinLabel = 8;

bool starts_code_point(char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }

std::string padding(int64_t columns) {
  return std::string(static_cast<size_t>(std::max<int64_t>(columns, 0)), ' ');
}

}  // namespace

int64_t display_width(std::string_view text) {
  return std::count_if(text.begin(), text.end(), starts_code_point);
}

std::string shorten(const std::string& text, int64_t columns, bool unicode) {
  if (display_width(text) <= columns) return text;
  if (columns <= 0) return {};
  const std::string_view ellipsis = unicode ? "…" : ".";
  std::string kept;
  int64_t width = 0;
  for (const char c : text) {
    if (starts_code_point(c) && ++width >= columns) break;
    kept += c;
  }
  return kept + std::string(ellipsis);
}

std::string render_bar(double fraction, int64_t columns, bool unicode) {
  fraction = std::isfinite(fraction) ? std::clamp(fraction, 0.0, 1.0) : 0.0;
  const int64_t inner = std::max<int64_t>(columns - 2, 0);
  // Full only when everything is done.
  const auto filled = static_cast<int64_t>(std::floor(fraction * static_cast<double>(inner)));
  std::string bar = unicode ? "▕" : "[";
  for (int64_t i = 0; i < inner; ++i) {
    if (unicode) {
      bar += i < filled ? "█" : "·";
    } else {
      bar += i < filled ? '=' : (i == filled ? '>' : ' ');
    }
  }
  return bar + (unicode ? "▏" : "]");
}

std::vector<std::string> lay_out(const std::vector<ProgressLine>& lines, int64_t columns,
                                 bool unicode) {
  int64_t label_width = 0;
  int64_t figures_width = 0;
  for (const ProgressLine& line : lines) {
    label_width = std::max(label_width, display_width(line.label));
    figures_width = std::max(figures_width, display_width(line.figures));
  }
  const int64_t bar_width = std::min(columns - label_width - figures_width - 4, kMaxBar);
  const bool with_bar = bar_width >= kMinBar;
  std::vector<std::string> text;
  for (const ProgressLine& line : lines) {
    const int64_t figures_room = columns - std::min(kMinLabel, display_width(line.label)) - 2;
    const std::string figures = shorten(line.figures, figures_room, unicode);
    const int64_t label_room = with_bar ? label_width : columns - display_width(figures) - 2;
    const std::string label = shorten(line.label, label_room, unicode);
    std::string row = label;
    if (with_bar && line.fraction >= 0) {
      row += padding(label_width - display_width(label) + 2);
      row += render_bar(line.fraction, bar_width, unicode);
    }
    row += padding(columns - display_width(row) - display_width(figures));
    text.push_back(row + figures);
  }
  return text;
}

}  // namespace baleen
