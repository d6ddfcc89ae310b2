#include "experiments/gallery/key_point_scores.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "core/base/error.h"
#include "core/base/logging.h"

namespace baleen {
namespace {

/// Most matching points of each query with an image of its best individuals, float64 [Q, C]; -1
/// for individuals that are not compared.
/// @param gallery_places, query_places of the images among the counter's
at::Tensor count_points(const at::Tensor& scores_QC, const GalleryIdentities& identities,
                        const std::vector<int64_t>& gallery_places,
                        const std::vector<int64_t>& query_places, const std::vector<int64_t>& own_Q,
                        const KeyPointRerankOptions& options) {
  std::vector<std::vector<int64_t>> rows_of(static_cast<size_t>(identities.count));
  for (int64_t row = 0; row < std::ssize(identities.identity_G); ++row)
    rows_of[identities.identity_G[row]].push_back(row);
  const int64_t num_queries = scores_QC.size(0);
  const int64_t candidates = std::min(options.candidates, identities.count);
  const at::Tensor order_QC = scores_QC.argsort(/*stable=*/true, 1, /*descending=*/true);
  std::vector<KeyPointPair> pairs;
  std::vector<std::pair<int64_t, int64_t>> cells;
  for (int64_t q = 0; q < num_queries; ++q) {
    for (int64_t place = 0; place < candidates; ++place) {
      const int64_t c = order_QC[q][place].item<int64_t>();
      for (const int64_t row : rows_of[c]) {
        if (q < std::ssize(own_Q) && own_Q[q] == row) continue;
        pairs.push_back({query_places[q], gallery_places[row]});
        cells.emplace_back(q, c);
      }
    }
  }
  const std::vector<int64_t> counts = options.count(pairs);
  at::Tensor points_QC = at::full({num_queries, identities.count}, -1.0, at::kDouble);
  auto points = points_QC.accessor<double, 2>();
  for (size_t i = 0; i < cells.size(); ++i) {
    double& most = points[cells[i].first][cells[i].second];
    most = std::max(most, static_cast<double>(counts[i]));
  }
  return points_QC;
}

std::vector<int64_t> places(int64_t first, int64_t count) {
  std::vector<int64_t> all(static_cast<size_t>(count));
  std::iota(all.begin(), all.end(), first);
  return all;
}

/// Weight and boost that are worth most on validation, and the threshold that goes with them.
class Chooser {
 public:
  Chooser(const Validation& validation, at::Tensor scores_QC, at::Tensor points_QC,
          const Gallery& gallery, const MatchOptions& options)
      : validation_(validation),
        names_(gallery.names),
        options_(options),
        scores_QC_(std::move(scores_QC)),
        points_QC_(std::move(points_QC)) {}

  ThresholdChoice worth(const KeyPointChoice& choice) const {
    const at::Tensor term = key_point_term(points_QC_, validation_.identities, choice);
    return choose_threshold(scores_QC_ + choice.weight * term, names_, validation_.truth,
                            options_.answers);
  }

  KeyPointChoice choose() const {
    constexpr std::array kWeights{0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0};
    constexpr std::array kAdded{1.0, 2.0, 4.0, 8.0};
    constexpr std::array kFactors{1.25, 1.5, 2.0, 3.0};
    const double spread = scores_QC_.amax({1}).std(/*unbiased=*/false).item<double>();
    KeyPointChoice best;
    double most = worth(best).score;
    const auto try_out = [&](const KeyPointChoice& choice) {
      const double score = worth(choice).score;
      if (score <= most + 1e-12) return;
      most = score;
      best = choice;
    };
    for (const double weight : kWeights) try_out({.weight = weight * spread});
    if (best.weight == 0) return best;
    const double weight = best.weight;
    for (const double added : kAdded) try_out({.weight = weight, .added = added});
    for (const double factor : kFactors) try_out({.weight = weight, .factor = factor});
    return best;
  }

 private:
  const Validation& validation_;
  const std::vector<std::string>& names_;
  const MatchOptions& options_;
  at::Tensor scores_QC_, points_QC_;
};

}  // namespace

at::Tensor key_point_term(const at::Tensor& points_QC, const GalleryIdentities& identities,
                          const KeyPointChoice& choice) {
  const at::Tensor images_C =
      at::bincount(at::tensor(identities.identity_G, at::kLong), {}, identities.count);
  const at::Tensor boosted = (points_QC + choice.added) * choice.factor;
  const at::Tensor points = at::where(images_C.eq(1).unsqueeze(0), boosted, points_QC);
  return at::where(points_QC >= 0, at::log1p(points.clamp_min(0)), at::zeros_like(points));
}

at::Tensor key_point_shift(const at::Tensor& scores_QC, const Gallery& gallery,
                           const std::vector<int64_t>& own_Q, const MatchOptions& options,
                           std::optional<Validation>& validation,
                           const at::Tensor& validation_scores_QC, MatchResult& result) {
  const KeyPointRerankOptions& key_points = *options.key_points;
  const int64_t num_gallery = std::ssize(gallery.identities.identity_G);
  KeyPointChoice choice;
  if (key_points.weight) choice.weight = *key_points.weight;
  if (validation) {
    const at::Tensor points_QC =
        count_points(validation_scores_QC, validation->identities, validation->gallery_rows,
                     validation->query_rows, {}, key_points);
    const Chooser chooser(*validation, validation_scores_QC, points_QC, gallery, options);
    if (!key_points.weight) choice = chooser.choose();
    const double before = chooser.worth({}).score;
    result.validation = chooser.worth(choice);
    if (!options.unknown.empty() && !options.threshold)
      result.threshold = result.validation->threshold;
    log_info("validation: answers are worth {:.4f} without key points, {:.4f} with", before,
             result.validation->score);
    validation->shift_QC =
        choice.weight * key_point_term(points_QC, validation->identities, choice);
  }
  result.key_points = choice;
  result.points_QC = count_points(scores_QC, gallery.identities, places(0, num_gallery),
                                  places(num_gallery, scores_QC.size(0)), own_Q, key_points);
  return choice.weight * key_point_term(result.points_QC, gallery.identities, choice);
}

}  // namespace baleen
