#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/matching/decisions.h"
#include "core/matching/identity_scores.h"
#include "core/matching/reranking.h"
#include "core/nn/pair_scores.h"
#include "experiments/feature_classifier/feature_classifier.h"
#include "experiments/gallery/feature_table.h"
#include "experiments/gallery/key_points.h"
#include "experiments/newcomers/newcomers.h"

namespace baleen {

/// Re-ranking of each query's best individuals by key points that match (RootSIFT).
struct KeyPointRerankOptions {
  int64_t candidates = 10;  ///< individuals per query whose images are compared with it
  /// Of ln(1 + matching points) in the score; absent: what is worth most on validation.
  std::optional<double> weight;
  /// Counts the matching points of pairs of images: gallery rows, then queries, then strangers, are
  /// numbered in the order of the first model's tables; as KeyPointCounter::count.
  std::function<std::vector<int64_t>(const std::vector<KeyPointPair>&)> count;
};

/// What was chosen for key points. Individuals with a single image have fewer chances at a large
/// maximum than others, so that their number p of matching points counts as (p + added) · factor.
struct KeyPointChoice {
  double weight = 0.0;  ///< of ln(1 + matching points)
  double added = 0.0;
  double factor = 1.0;
};

/// How queries are matched with a gallery of known individuals.
struct MatchOptions {
  IdentityScoreOptions score;
  std::optional<RerankOptions> rerank;
  /// A classifier trained on the gallery's features, all models' side by side, joins as one more
  /// model whose distance is 1 - p; absent: none does.
  std::optional<FeatureClassifierOptions> classifier;
  DistanceMapOptions map;
  int64_t answers = 5;  ///< per query
  std::string unknown;  ///< name of individuals that are not in the gallery; empty: none
  std::optional<double> threshold;      ///< below it a query shows `unknown`; absent: chosen
  std::optional<double> share_unknown;  ///< chosen so that about this share of queries does
  bool choose_map = false;              ///< the distance map that is worth most on validation, too
  /// Judge by learners over all models' scores, too, whether a query is unknown; absent: by the
  /// threshold alone.
  std::optional<NewcomerOptions> newcomers;
  std::optional<KeyPointRerankOptions> key_points;  ///< absent: features alone decide
  uint64_t seed = 1;                                ///< of the validation's draws
};

/// One model's features of both sides; the same ids in all models.
struct MatchModel {
  FeatureTable gallery;
  FeatureTable queries;
  /// Of a siamese network, which compares its features itself: a pair's distance is 1 - its score;
  /// null: features are compared by their angle.
  std::shared_ptr<const PairScores> head = nullptr;
  /// Images of individuals that are not in the gallery: they ask in validation, and are nobody's
  /// answer. May be empty.
  FeatureTable strangers = {};
};

/// What is known of the images.
struct MatchNames {
  std::map<std::string, std::string> gallery;  ///< id to individual, of every gallery image
  std::map<std::string, std::string> queries;  ///< the truth, where it is known; may be empty
};

/// One place of a query's answer.
struct MatchAnswer {
  std::string name;
  double score = 0.0;  ///< NaN for `unknown`
  int64_t image = -1;  ///< the gallery image most like the query of this individual's; -1: none
  int64_t points =
      -1;  ///< matching key points with an image of this individual's; -1: not compared
};

struct MatchResult {
  std::vector<std::string> query_ids;             ///< Q
  std::vector<std::string> gallery_ids;           ///< G
  std::vector<std::string> gallery_names;         ///< G, individuals
  std::vector<std::vector<MatchAnswer>> answers;  ///< Q lists, best first
  std::vector<double> weights;                    ///< of the models, summing to 1
  DistanceMap map = DistanceMap::kNone;
  double threshold = 0.0;
  /// What validation on the gallery alone gave; absent where nothing was chosen.
  std::optional<ThresholdChoice> validation;
  /// Area under the ROC curve of "is unknown" on validation, by learner; empty without newcomers.
  std::map<std::string, double> newcomer_auc;
  std::string newcomers_missing;  ///< why LightGBM took no part; empty: it did, or nobody asked
  double newcomer_weight = 0.0;  ///< of the learners' verdict against the scores; 0: it was no help
  /// Q: the answer that is right: `unknown` where the gallery has no other image of the individual;
  /// empty where the truth is not known, or nobody is unknown.
  std::vector<std::string> right_names;
  /// Where the truth is known: mean reciprocal place and share of right first answers.
  std::optional<double> mean_reciprocal_place, first_right;
  std::optional<KeyPointChoice> key_points;  ///< absent: they were not asked for
  at::Tensor points_QC;  ///< float64, most matching points with an image of each individual; -1:
                         ///< not compared; undefined without key points
  int64_t num_own = 0;   ///< queries that are gallery images themselves
};

/// @throws Error kUsage for options that exclude each other. match() begins with this.
void check_options(const MatchOptions& options);

/// Finds who the queries show. Features are brought to unit length; a query that is a gallery image
/// itself (the same id and the same features) is not matched with itself.
///
/// Threshold, map and weights are chosen on the gallery: of individuals with two images or more a
/// part asks who it is, and so do the models' strangers, no more of them than of the others. Where
/// those are less than a fifth of who asks, a fifth of the individuals become strangers, too.
/// Individuals with one image can be found, but not judged.
/// @throws Error kData where ids differ between models, an individual is not named, or the gallery
/// is too small to choose anything on; kUsage where one of its individuals is called `unknown`.
MatchResult match(const std::vector<MatchModel>& models, const MatchNames& names,
                  const MatchOptions& options);

/// "Image,Id": the names of each query's answers, separated. @throws Error kUsage when a name has
/// the separator in it.
std::string answers_csv(const MatchResult& result, const std::string& separator);

/// Bootstrapping: each query with its best individual, as `id,labels,confidence,accepted`, most
/// doubtful first. Accepted where exactly one individual scores above `certain`, and the query is
/// no gallery image. @throws Error kUsage when fewer than two answers per query were asked for.
std::string pseudo_labels_csv(const MatchResult& result, double certain);

}  // namespace baleen
