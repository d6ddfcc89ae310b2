#include "experiments/stacking/thresholds.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <set>

#include "core/base/error.h"
#include "core/base/nearest.h"
#include "core/base/tensor_threads.h"
#include "core/metrics/metrics.h"
#include "experiments/stacking/threshold_search.h"

namespace baleen {
namespace {

at::Tensor as_double(const at::Tensor& values) {
  return values.detach().to(at::kCPU, at::kDouble).contiguous();
}

int64_t count_folds(std::span<const int64_t> folds_N, int64_t num_samples) {
  if (static_cast<int64_t>(folds_N.size()) != num_samples) {
    throw Error(ErrorKind::kData,
                fmt::format("thresholds: {} folds for {} samples", folds_N.size(), num_samples));
  }
  if (*std::min_element(folds_N.begin(), folds_N.end()) < 0) {
    throw Error(ErrorKind::kData, "thresholds: a sample has a negative fold");
  }
  return *std::max_element(folds_N.begin(), folds_N.end()) + 1;
}

}  // namespace

ExclusiveGroups exclusive_groups(const ThresholdOptions& options,
                                 std::span<const std::string> labels) {
  ExclusiveGroups groups;
  std::set<std::string> seen;
  for (const std::vector<std::string>& names : options.exclusive) {
    if (names.size() < 2) {
      throw Error(ErrorKind::kConfiguration,
                  "thresholds.exclusive: a group has less than two labels");
    }
    std::vector<int64_t>& group = groups.emplace_back();
    for (const std::string& name : names) {
      const auto found = std::find(labels.begin(), labels.end(), name);
      if (found == labels.end()) {
        throw Error(ErrorKind::kConfiguration,
                    fmt::format("thresholds.exclusive: there is no label '{}'", name),
                    suggestion(name, labels));
      }
      if (!seen.insert(name).second) {
        throw Error(ErrorKind::kConfiguration,
                    fmt::format("thresholds.exclusive: label '{}' is named twice", name));
      }
      group.push_back(found - labels.begin());
    }
  }
  return groups;
}

Thresholds search_thresholds(const at::Tensor& scores_NL, const at::Tensor& targets_NL,
                             const ThresholdOptions& options, const ExclusiveGroups& groups) {
  return search_outside(ScoreOrder(scores_NL, targets_NL, options), {}, -1, options, groups);
}

CrossFittedThresholds cross_fit_thresholds(const at::Tensor& scores_NL,
                                           const at::Tensor& targets_NL,
                                           std::span<const int64_t> folds_N,
                                           const ThresholdOptions& options,
                                           const ExclusiveGroups& groups) {
  const ScoreOrder order(scores_NL, targets_NL, options);
  const int64_t num_folds = count_folds(folds_N, scores_NL.size(0));
  std::vector<std::vector<int64_t>> inside_K(static_cast<size_t>(num_folds));
  for (size_t i = 0; i < folds_N.size(); ++i)
    inside_K[static_cast<size_t>(folds_N[i])].push_back(static_cast<int64_t>(i));
  for (int64_t fold = 0; fold < num_folds; ++fold) {
    const size_t count = inside_K[static_cast<size_t>(fold)].size();
    if (count > 0 && count < folds_N.size()) continue;
    throw Error(ErrorKind::kData,
                fmt::format("thresholds: fold {} of {} holds {} of {} samples", fold, num_folds,
                            count, folds_N.size()),
                "cross-fitting needs at least two folds, each with samples");
  }

  // The search without each fold, and last the one over all samples.
  std::vector<Thresholds> found(static_cast<size_t>(num_folds) + 1);
  split_over_threads(0, num_folds + 1, 1, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      const auto folds = k < num_folds ? folds_N : std::span<const int64_t>{};
      found[static_cast<size_t>(k)] = search_outside(order, folds, k, options, groups);
    }
  });

  CrossFittedThresholds result;
  result.predicted_NL = at::zeros(scores_NL.sizes(), at::kBool);
  std::vector<double> sum_L(order.num_labels(), 0), count_L = sum_L;
  for (size_t fold = 0; fold < inside_K.size(); ++fold) {
    const at::Tensor in = at::tensor(inside_K[fold], at::kLong);
    const std::vector<double>& values_L = found[fold].values_L;
    const at::Tensor predicted = apply_thresholds(scores_NL.index_select(0, in), values_L, groups);
    result.predicted_NL.index_copy_(0, in, predicted);
    result.score_of_fold.push_back(sample_f_beta(targets_NL.index_select(0, in), predicted,
                                                 options.beta, options.empty_score));
    const std::vector<int64_t>& absent = found[fold].absent_labels;
    for (size_t label = 0; label < sum_L.size(); ++label) {
      // Outside its only fold a label has no threshold that was found, but one that forbids it.
      if (std::ranges::count(absent, static_cast<int64_t>(label)) > 0) continue;
      sum_L[label] += values_L[label];
      count_L[label] += 1;
    }
    result.by_fold.push_back(values_L);
  }
  result.score = sample_f_beta(targets_NL, result.predicted_NL, options.beta, options.empty_score);
  result.final = std::move(found.back());
  if (options.average_over_folds) {
    for (size_t label = 0; label < sum_L.size(); ++label) {
      if (count_L[label] > 0) result.final.values_L[label] = sum_L[label] / count_L[label];
    }
    result.final.score =
        sample_f_beta(targets_NL, apply_thresholds(scores_NL, result.final.values_L, groups),
                      options.beta, options.empty_score);
  }
  return result;
}

at::Tensor apply_thresholds(const at::Tensor& scores_NL, std::span<const double> thresholds_L,
                            const ExclusiveGroups& groups) {
  if (scores_NL.dim() != 2 || scores_NL.size(1) != static_cast<int64_t>(thresholds_L.size())) {
    throw Error(ErrorKind::kData, fmt::format("{} thresholds for scores of shape {}",
                                              thresholds_L.size(), c10::str(scores_NL.sizes())));
  }
  const at::Tensor scores = as_double(scores_NL);
  const at::Tensor row_L =
      at::tensor(at::ArrayRef<double>(thresholds_L.data(), thresholds_L.size()), at::kDouble);
  at::Tensor predicted_NL = scores > row_L;
  bool* predicted = predicted_NL.data_ptr<bool>();
  const double* score = scores.const_data_ptr<double>();
  const int64_t num_labels = scores.size(1);
  for (const std::vector<int64_t>& group : groups) {
    for (int64_t i = 0; i < scores.size(0); ++i) {
      const double* row = score + i * num_labels;
      int64_t best = group.front();
      for (const int64_t label : group) {
        if (row[label] > row[best]) best = label;
        predicted[i * num_labels + label] = false;
      }
      predicted[i * num_labels + best] = true;
    }
  }
  return predicted_NL;
}

}  // namespace baleen
