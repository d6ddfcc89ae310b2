#pragma once

#include <functional>
#include <map>
#include <string>

#include "experiments/gallery/match.h"

namespace baleen {

/// What the page shows of a match.
struct MatchPageOptions {
  std::string title = "Matches";
  int64_t max_queries = 200;  ///< the least certain first, when there are more
  /// JPEG bytes of an image by its id, empty where there is none; may be empty.
  std::function<std::string(const std::string&id)> query_image, gallery_image;
  std::map<std::string, std::string> truth;  ///< of queries, where it is known
};

/// One self-contained HTML page with every query beside the individuals it was answered with, each
/// by its image that is most alike.
std::string match_page(const MatchResult& result, const MatchPageOptions& options);

}  // namespace baleen
