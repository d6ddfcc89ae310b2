#pragma once

#include <string>
#include <vector>

#include "data/image/image.h"

namespace baleen {

/// One image and one of its labels: the image itself, then its overlay by each method.
struct ExplainRow {
  std::string image, truth, label;
  double probability = 0;
  std::vector<Image> pictures;
};

/// What an explanation's page shows.
struct ExplainPage {
  std::string network, source;
  std::vector<std::string> methods;
  std::vector<ExplainRow> rows;
  std::string note;  ///< why there are none
};

/// Several networks' rows as one part of a run's report; empty where there are none.
std::string explained_section(const std::vector<ExplainPage>& pages);

/// One HTML page that needs nothing else: the pictures are inside. Every text is escaped.
std::string render_explain_page(const ExplainPage& page);

}  // namespace baleen
