#pragma once

#include <string_view>

namespace baleen {

// Texts that the build embeds into the program.

std::string_view report_css();
std::string_view report_js();
/// Chart.js, or an empty text where the build did not find it: the page then shows tables instead
/// of curves.
std::string_view chart_js();

}  // namespace baleen
