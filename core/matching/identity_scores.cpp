#include "core/matching/identity_scores.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <numeric>

#include "core/base/error.h"
#include "core/base/tensor_threads.h"

namespace baleen {
namespace {

constexpr int64_t kQueriesPerBlock = 256;
constexpr int64_t kQueriesPerTask = 16;
constexpr float kNone = -std::numeric_limits<float>::infinity();

/// Gallery rows of each identity: order[first[c]] … order[first[c + 1] - 1].
struct ByIdentity {
  explicit ByIdentity(const GalleryIdentities& identities)
      : order(identities.identity_G.size()), first(static_cast<size_t>(identities.count) + 1, 0) {
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
      return identities.identity_G[a] < identities.identity_G[b];
    });
    for (const int64_t identity : identities.identity_G) ++first[identity + 1];
    std::partial_sum(first.begin(), first.end(), first.begin());
  }
  std::vector<int64_t> order, first;
};

/// The mean of the `top` largest of those that count.
float best_mean(std::vector<float>& scores, int64_t top) {
  std::erase(scores, kNone);
  if (scores.empty()) return kNone;
  const auto count = std::min<int64_t>(top, std::ssize(scores));
  std::partial_sort(scores.begin(), scores.begin() + count, scores.end(), std::greater<>());
  return static_cast<float>(std::accumulate(scores.begin(), scores.begin() + count, 0.0) /
                            static_cast<double>(count));
}

/// Scores [B, G] whose columns are in `by`'s order become scores [B, C].
void reduce_images(const at::Tensor& sorted_BG, const ByIdentity& by,
                   const IdentityScoreOptions& options, float* out) {
  const float* scores = sorted_BG.const_data_ptr<float>();
  const int64_t num_rows = sorted_BG.size(1), num_identities = std::ssize(by.first) - 1;
  split_over_threads(0, sorted_BG.size(0), kQueriesPerTask, [&](int64_t begin, int64_t end) {
    std::vector<float> own;
    for (int64_t q = begin; q < end; ++q) {
      const float* row = scores + q * num_rows;
      for (int64_t c = 0; c < num_identities; ++c) {
        if (by.first[c] == by.first[c + 1]) continue;
        const float* from = row + by.first[c];
        const float* to = row + by.first[c + 1];
        float& score = out[q * num_identities + c];
        if (options.kind == IdentityScore::kMax) {
          score = *std::max_element(from, to);
        } else {
          own.assign(from, to);
          score = best_mean(own, options.top);
        }
      }
    }
  });
}

at::Tensor by_means(const at::Tensor& queries_QD, const at::Tensor& gallery_GD,
                    const GalleryIdentities& identities, const IdentityScoreOptions& options,
                    const std::vector<int64_t>& own_Q) {
  const at::Tensor identity = at::tensor(identities.identity_G, at::kLong);
  at::Tensor sum_CD = at::zeros({identities.count, gallery_GD.size(1)}, at::kDouble);
  sum_CD.index_add_(0, identity, gallery_GD.to(at::kDouble));
  const at::Tensor counts_C = at::bincount(identity, {}, identities.count);
  const auto mean = [&](const at::Tensor& sum, const at::Tensor& count) {
    const at::Tensor means = sum / count.clamp_min(1).unsqueeze(1);
    return (options.renormalise ? unit_rows(means) : means).to(at::kFloat);
  };
  at::Tensor scores_QC = at::mm(queries_QD, mean(sum_CD, counts_C).t());
  scores_QC.masked_fill_(counts_C.eq(0).unsqueeze(0), kNone);
  for (int64_t q = 0; q < std::ssize(own_Q); ++q) {
    if (own_Q[q] < 0) continue;
    const int64_t c = identities.identity_G[own_Q[q]];
    const at::Tensor others = counts_C.narrow(0, c, 1) - 1;
    const at::Tensor without =
        mean(sum_CD.narrow(0, c, 1) - gallery_GD.narrow(0, own_Q[q], 1).to(at::kDouble), others);
    const float score =
        others.item<int64_t>() == 0 ? kNone : at::dot(queries_QD[q], without[0]).item<float>();
    scores_QC[q][c] = score;
  }
  return scores_QC;
}

}  // namespace

IdentityScore identity_score_from_name(const std::string& name) {
  if (name == "max") return IdentityScore::kMax;
  if (name == "mean") return IdentityScore::kMean;
  if (name == "top_mean") return IdentityScore::kTopMean;
  throw Error(ErrorKind::kConfiguration, fmt::format("there is no identity score '{}'", name),
              "known: max, mean, top_mean");
}

at::Tensor unit_rows(const at::Tensor& features_ND) {
  const at::Tensor length = features_ND.norm(2, {1}, /*keepdim=*/true);
  return features_ND / at::where(length > 0, length, at::ones_like(length));
}

at::Tensor identity_scores(const at::Tensor& queries_QD, const at::Tensor& gallery_GD,
                           const GalleryIdentities& identities, const IdentityScoreOptions& options,
                           const std::vector<int64_t>& own_Q) {
  const at::NoGradGuard no_grad;
  if (options.kind == IdentityScore::kMean)
    return by_means(queries_QD, gallery_GD, identities, options, own_Q);
  const ByIdentity by(identities);
  const at::Tensor sorted_DG = gallery_GD.index_select(0, at::tensor(by.order, at::kLong)).t();
  std::vector<int64_t> place_G(by.order.size());
  for (size_t place = 0; place < by.order.size(); ++place)
    place_G[by.order[place]] = static_cast<int64_t>(place);
  const int64_t num_queries = queries_QD.size(0);
  at::Tensor scores_QC = at::full({num_queries, identities.count}, kNone, at::kFloat);
  for (int64_t query = 0; query < num_queries; query += kQueriesPerBlock) {
    const int64_t queries = std::min(kQueriesPerBlock, num_queries - query);
    const at::Tensor block_QG =
        at::mm(queries_QD.narrow(0, query, queries), sorted_DG).contiguous();
    for (int64_t q = query; q < query + queries && q < std::ssize(own_Q); ++q)
      if (own_Q[q] >= 0) block_QG[q - query][place_G[own_Q[q]]] = kNone;
    reduce_images(block_QG, by, options,
                  scores_QC.mutable_data_ptr<float>() + query * identities.count);
  }
  return scores_QC;
}

at::Tensor identity_scores_of_images(const at::Tensor& scores_QG,
                                     const GalleryIdentities& identities,
                                     const IdentityScoreOptions& options) {
  if (options.kind == IdentityScore::kMean) {
    throw Error(ErrorKind::kConfiguration,
                "the mean of an identity's features has no score where images are re-ranked",
                "take max or top_mean");
  }
  const ByIdentity by(identities);
  const at::Tensor sorted_QG =
      scores_QG.to(at::kFloat).index_select(1, at::tensor(by.order, at::kLong)).contiguous();
  at::Tensor scores_QC = at::full({scores_QG.size(0), identities.count}, kNone, at::kFloat);
  reduce_images(sorted_QG, by, options, scores_QC.mutable_data_ptr<float>());
  return scores_QC;
}

}  // namespace baleen
