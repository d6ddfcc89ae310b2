#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "experiments/analysis/analysis.h"
#include "experiments/report/report_data.h"

namespace baleen {

/// Pictures by sample id, as embedded_picture() gives them.
using SamplePictures = std::map<std::string, std::string>;

/// The analysis in sections, for a page of its own or as part of a run's report. Every text is
/// escaped.
std::vector<PageSection> analysis_sections(const Analysis& analysis,
                                           const SamplePictures& pictures);

/// One HTML page that needs nothing else.
std::string render_page(const std::string& title, const std::string& lead,
                        const std::vector<PageSection>& sections);

}  // namespace baleen
