#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "experiments/analysis/analysis.h"

namespace baleen {

/// Pictures by sample id, as data of a JPEG or PNG in base64 with its type: "image/png;base64,…".
using SamplePictures = std::map<std::string, std::string>;

/// One part of a page.
struct PageSection {
  std::string id, title, html;
};

/// The analysis in sections, for a page of its own or as part of a run's report. Every text is
/// escaped.
std::vector<PageSection> analysis_sections(const Analysis& analysis,
                                           const SamplePictures& pictures);

/// One HTML page that needs nothing else. @param extra_styles beside the report's
std::string render_page(const std::string& title, const std::string& lead,
                        const std::vector<PageSection>& sections);

}  // namespace baleen
