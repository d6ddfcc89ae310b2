#pragma once

#include <string>
#include <vector>

#include "experiments/analysis/analysis.h"

namespace baleen {

// Pieces of the analysis page, as HTML. Texts from outside are escaped.

/// A table that scrolls by itself where the page is too narrow.
std::string scroll(const std::string& title, const std::string& table);
/// The row of headings; all but the first stand over numbers.
std::string head(const std::vector<std::string>& columns);
std::string number_cell(double value);
/// The value, and its interval in small print where it has one.
std::string interval_cell(const Interval& interval);

/// Sections without their headings; empty where there is nothing to show.
std::string relations_body(const Analysis& analysis);
std::string diversity_body(const Analysis& analysis);
std::string simulation_body(const Analysis& analysis);
std::string learning_body(const Analysis& analysis);

}  // namespace baleen
