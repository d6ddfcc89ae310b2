#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace baleen {

// From scores of identities to answers. Letters: Q queries, C identities.

/// How distances become scores in (0, 1], so that models can be added up and one threshold serves
/// all queries. d >= 0; what rounding made negative counts as 0.
enum class DistanceMap {
  kNone,         ///< -d
  kReciprocal,   ///< 1 / (1 + d)
  kLogarithmic,  ///< 1 / (1 + ln(1 + ln(1 + d)))
  kSoftmax,      ///< exp(-d / T) over the query's sum
  kStudent,      ///< 1 / (1 + d²) over the query's sum, as t-SNE's low-dimensional similarities
  kGaussian,  ///< exp(-d² / 2σ²) over the query's sum, as t-SNE's high-dimensional ones: σ is the
              ///< query's own, with which its distribution has the perplexity
};

/// "none", "reciprocal", "logarithmic", "softmax", "student", "gaussian".
/// @throws Error kConfiguration for another name.
DistanceMap distance_map_from_name(const std::string& name);
const char* name_of(DistanceMap map);

struct DistanceMapOptions {
  DistanceMap map = DistanceMap::kLogarithmic;
  double temperature = 0.1;  ///< T
  double perplexity = 5;     ///< of kGaussian; at most C
};

/// float64 [Q, C]. Infinite distances become 0 (kNone: -infinity).
at::Tensor map_distances(const at::Tensor& distances_QC, const DistanceMapOptions& options);

/// The identities of a query, best first, with `unknown` put before the first whose score is below
/// the threshold: exactly `count` different names, or all there are. Of equal scores the lower
/// column goes first. An empty `unknown`: none is put in. It comes once, and only where a score is
/// below the threshold.
/// @param names C
std::vector<std::string> best_names(const at::Tensor& scores_C, std::span<const std::string> names,
                                    int64_t count, const std::string& unknown, double threshold);

/// The threshold, and what the answers on validation are worth with it (mean reciprocal place among
/// the first `count`).
struct ThresholdChoice {
  double threshold = 0.0;
  double score = 0.0;
  double share_unknown = 0.0;  ///< queries whose first answer is `unknown`
};

/// The threshold with the best answers, exactly: score changes only at the queries' own scores. Of
/// several the middle of the widest gap.
/// @param truth Q names; those not in `names` are unknown individuals
/// @throws Error kData without queries.
ThresholdChoice choose_threshold(const at::Tensor& scores_QC, std::span<const std::string> names,
                                 std::span<const std::string> truth, int64_t count);

/// The threshold with which about this share of the queries is answered with unknown first.
double threshold_for_share(const at::Tensor& scores_QC, double share);

/// Weights of models whose scores are added up, by coordinate search on the answers' worth on
/// validation; they sum to 1. Each model's weight goes over a grid in turn until none helps.
/// @param scores_MQC M models on the same queries and identities
std::vector<double> choose_weights(const std::vector<at::Tensor>& scores_MQC,
                                   std::span<const std::string> names,
                                   std::span<const std::string> truth, int64_t count);

}  // namespace baleen
