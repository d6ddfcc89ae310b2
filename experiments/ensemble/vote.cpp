#include "experiments/ensemble/vote.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "core/base/error.h"

namespace baleen {
namespace {

constexpr double kLeastProbability = 1e-7;
// A sum of weights that should reach a share exactly may miss it by rounding.
constexpr double kShareTie = 1e-12;

std::vector<double> shares(int64_t num_models, std::span<const double> weights_M) {
  std::vector<double> result(static_cast<size_t>(num_models), 1.0);
  if (!weights_M.empty()) {
    if (weights_M.size() != result.size()) {
      throw Error(ErrorKind::kConfiguration,
                  fmt::format("{} weights for {} models", weights_M.size(), num_models));
    }
    std::copy(weights_M.begin(), weights_M.end(), result.begin());
  }
  check_weights(result);
  const double sum = std::accumulate(result.begin(), result.end(), 0.0);
  for (double& weight : result) weight /= sum;
  return result;
}

template <class Transform>
at::Tensor weighted(const at::Tensor& p_MNL, std::span<const double> weights_M,
                    const Transform& transform) {
  const std::vector<double> share = shares(p_MNL.size(0), weights_M);
  at::Tensor sum = at::zeros({p_MNL.size(1), p_MNL.size(2)}, at::kDouble);
  for (int64_t m = 0; m < p_MNL.size(0); ++m) {
    const double weight = share[static_cast<size_t>(m)];
    if (weight > 0) sum.add_(transform(p_MNL[m].to(at::kDouble)), weight);
  }
  return sum;
}

at::Tensor ranks(const at::Tensor& p_NL) {
  const at::Tensor by_label = p_NL.t().contiguous();
  at::Tensor result = at::empty_like(by_label);
  const auto num_samples = static_cast<size_t>(by_label.size(1));
  std::vector<size_t> order(num_samples);
  for (int64_t l = 0; l < by_label.size(0); ++l) {
    const double* score = by_label[l].const_data_ptr<double>();
    double* rank = result[l].data_ptr<double>();
    std::iota(order.begin(), order.end(), size_t{0});
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return score[a] < score[b]; });
    for (size_t begin = 0; begin < num_samples;) {
      size_t end = begin;
      while (end < num_samples && score[order[end]] == score[order[begin]]) ++end;
      const double middle = double(begin + 1 + end) / 2.0;  // ranks from 1
      for (; begin < end; ++begin) rank[order[begin]] = middle / double(num_samples);
    }
  }
  return result.t().contiguous();
}

}  // namespace

void check_weights(std::span<const double> weights_M) {
  double sum = 0;
  for (const double weight : weights_M) {
    if (!(weight >= 0) || !std::isfinite(weight))
      throw Error(ErrorKind::kConfiguration, fmt::format("weight {} is not >= 0", weight));
    sum += weight;
  }
  if (!(sum > 0)) throw Error(ErrorKind::kConfiguration, "all weights of the models are 0");
}

at::Tensor arithmetic_mean(const at::Tensor& p_MNL, std::span<const double> weights_M) {
  return weighted(p_MNL, weights_M, [](const at::Tensor& p) { return p; });
}

at::Tensor geometric_mean(const at::Tensor& p_MNL, std::span<const double> weights_M) {
  return weighted(p_MNL, weights_M,
                  [](const at::Tensor& p) { return p.clamp_min(kLeastProbability).log(); })
      .exp_();
}

at::Tensor rank_mean(const at::Tensor& p_MNL, std::span<const double> weights_M) {
  return weighted(p_MNL, weights_M, ranks);
}

at::Tensor vote_share(const at::Tensor& decisions_MNL, std::span<const double> weights_M) {
  return weighted(decisions_MNL, weights_M, [](const at::Tensor& d) { return d; });
}

at::Tensor decide_votes(const at::Tensor& share_NL, double least, const ExclusiveGroups& groups) {
  const at::Tensor share = share_NL.to(at::kDouble).contiguous();
  at::Tensor decided_NL = share.ge(least - kShareTie);
  bool* decided = decided_NL.data_ptr<bool>();
  const double* row = share.const_data_ptr<double>();
  for (int64_t i = 0; i < share.size(0); ++i, row += share.size(1), decided += share.size(1)) {
    for (const std::vector<int64_t>& group : groups) {
      int64_t best = group.front();
      for (const int64_t label : group) {
        if (row[label] > row[best] + kShareTie) best = label;
        decided[label] = false;
      }
      decided[best] = true;
    }
  }
  return decided_NL;
}

}  // namespace baleen
