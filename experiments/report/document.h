#pragma once

#include <string>
#include <vector>

#include "experiments/report/report_data.h"

namespace baleen {

/// What one HTML page is made of. All texts but `title` are HTML: their makers have escaped what
/// comes from outside.
struct HtmlDocument {
  std::string title;   ///< plain text: of the window, and the heading
  std::string badge;   ///< behind the heading
  std::string header;  ///< below the heading
  std::vector<PageSection> sections;
  /// Whether the sections are listed on top: of little use for a long row of equals.
  bool navigation = true;
  std::string styles;     ///< beside those that all pages share
  std::string footer;     ///< one line; empty: none
  std::string curves;     ///< JSON for the chart library; empty: the page has no curves
  std::string generator;  ///< Baleen's version; empty: not said
};

/// The page, which needs nothing else: styles, scripts and pictures are inside, and it asks the
/// browser to refuse any request. Follows the reader's choice of light or dark, and is printed in
/// dark on white.
std::string render_document(const HtmlDocument& document);

}  // namespace baleen
