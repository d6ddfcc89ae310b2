#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace baleen {

/// One line of a progress display: a label, a bar, and figures that are set flush right.
struct ProgressLine {
  std::string label;
  double fraction = 0;  ///< done, in [0, 1]; negative: this line has no bar
  std::string figures;
};

/// Columns that a UTF-8 text takes (one per code point).
int64_t display_width(std::string_view text);

/// The text, or its beginning and an ellipsis, in at most `columns`.
std::string shorten(const std::string& text, int64_t columns, bool unicode);

/// A bar of exactly `columns` columns.
std::string render_bar(double fraction, int64_t columns, bool unicode);

/// Sets lines below each other so that bars and figures align, each at most `columns` wide. Where
/// it gets tight, bars go first, then labels are shortened, then figures.
std::vector<std::string> lay_out(const std::vector<ProgressLine>& lines, int64_t columns,
                                 bool unicode);

}  // namespace baleen
