#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/image/local_features.h"
#include "experiments/gallery/match.h"

namespace CLI {
class App;
}

namespace baleen {

/// The command line of `baleen match`.
struct MatchArguments {
  std::vector<std::string> gallery, queries, weights;
  std::string identities, truth, gallery_images, query_images;
  std::string output = "matches.csv", page, title = "Matches", separator = " ";
  std::string score = "max", map = "logarithmic", threshold = "auto";
  bool rerank = false, newcomers = false, classify = false;
  NewcomerOptions newcomer_options;
  std::string light_gbm, keep_features;
  bool keep_length = false;
  RerankOptions rerank_options;
  int64_t page_queries = 200;
  std::string pseudo_labels;
  double certain = 0.999999;
  std::string nearest;
  int64_t nearest_count = 5;
  int64_t key_points = 0;
  std::string key_point_weight = "auto", key_point_cache, gallery_masks, query_masks;
  LocalFeatureOptions local_features;
  LocalMatchOptions local_match;
  EmbedOptions embed;
  MatchOptions options;
};

/// Adds the verb's options. `arguments` must outlive the app's parsing.
void declare_match_options(CLI::App& app, MatchArguments& arguments);

/// What they mean. @throws Error kUsage, kConfiguration naming the argument.
MatchOptions match_options(const MatchArguments& arguments);

}  // namespace baleen
