#include "core/base/format.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/base/progress_layout.h"

namespace baleen {
namespace {

TEST(LayoutTest, BarsAreExactlyAsWideAsAsked) {
  EXPECT_EQ(render_bar(0, 12, false), "[>         ]");
  EXPECT_EQ(render_bar(0.5, 12, false), "[=====>    ]");
  EXPECT_EQ(render_bar(0.999, 12, false), "[=========>]");
  EXPECT_EQ(render_bar(1, 12, false), "[==========]");
  EXPECT_EQ(render_bar(7, 12, false), "[==========]");
  EXPECT_EQ(render_bar(std::nan(""), 12, false), "[>         ]");
  for (const double fraction : {0.0, 0.3, 1.0})
    EXPECT_EQ(display_width(render_bar(fraction, 20, true)), 20);
}

TEST(LayoutTest, TextIsCutAtCodePoints) {
  EXPECT_EQ(shorten("größer", 10, true), "größer");
  EXPECT_EQ(shorten("größer", 4, true), "grö…");
  EXPECT_EQ(shorten("larger", 4, false), "lar.");
  EXPECT_EQ(shorten("larger", 0, false), "");
}

TEST(FormatTest, Durations) {
  EXPECT_EQ(format_duration(0.42), "0.42 s");
  EXPECT_EQ(format_duration(7.25), "7.2 s");
  EXPECT_EQ(format_duration(9.96), "10 s");
  EXPECT_EQ(format_duration(59.4), "59 s");
  EXPECT_EQ(format_duration(59.6), "1 min 00 s");
  EXPECT_EQ(format_duration(187), "3 min 07 s");
  EXPECT_EQ(format_duration(3599.7), "1 h 00 min");
  EXPECT_EQ(format_duration(3780), "1 h 03 min");
  EXPECT_EQ(format_duration(2 * 86400 + 4 * 3600 + 59), "2 d 04 h");
  EXPECT_EQ(format_duration(-1), "?");
  EXPECT_EQ(format_duration(std::nan("")), "?");
}

TEST(FormatTest, RatesBytesAndCounts) {
  EXPECT_EQ(format_rate(812.4, "img"), "812 img/s");
  EXPECT_EQ(format_rate(8.13, "img"), "8.1 img/s");
  EXPECT_EQ(format_rate(0.0312, "img"), "0.031 img/s");
  EXPECT_EQ(format_bytes(512), "512 B");
  EXPECT_EQ(format_bytes(1536), "1.5 KiB");
  EXPECT_EQ(format_bytes(uint64_t{3} << 30), "3.0 GiB");
  EXPECT_EQ(format_bytes((uint64_t{1} << 20) - 1), "1.0 MiB");
  EXPECT_EQ(format_bytes(~uint64_t{0}), "16.0 EiB");
  EXPECT_EQ(format_count(7), "7");
  EXPECT_EQ(format_count(-1234567), "-1,234,567");
  EXPECT_EQ(format_count(123456), "123,456");
}

}  // namespace
}  // namespace baleen
