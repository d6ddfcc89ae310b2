#include "core/metrics/metrics.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <sstream>

#include "core/base/error.h"

namespace baleen {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

at::Tensor table(const at::Tensor& tensor, at::ScalarType dtype, int64_t dimensions) {
  if (tensor.dim() != dimensions) {
    throw Error(ErrorKind::kInternal,
                fmt::format("a metric needs {} dimensions and got {}", dimensions, tensor.dim()));
  }
  return tensor.detach().to(at::kCPU, dtype).contiguous();
}

void check_rows(const at::Tensor& a, const at::Tensor& b, bool all_sizes) {
  if (all_sizes ? a.sizes() == b.sizes() : a.size(0) == b.size(0)) return;
  std::ostringstream text;
  text << "a metric of truth " << a.sizes() << " and predictions " << b.sizes();
  throw Error(ErrorKind::kInternal, text.str());
}

/// Truth and decisions as N·L bytes, row-major.
struct Decisions {
  Decisions(const at::Tensor& truth_NL, const at::Tensor& decided_NL)
      : truth(table(truth_NL.ne(0), at::kBool, 2)), decided(table(decided_NL.ne(0), at::kBool, 2)) {
    check_rows(truth, decided, true);
    num_samples = truth.size(0);
    num_labels = truth.size(1);
    is_true = truth.const_data_ptr<bool>();
    is_chosen = decided.const_data_ptr<bool>();
  }
  void count(int64_t sample, int64_t label, LabelCounts& counts) const {
    const int64_t i = sample * num_labels + label;
    if (is_true[i]) {
      ++(is_chosen[i] ? counts.true_positives : counts.false_negatives);
    } else {
      ++(is_chosen[i] ? counts.false_positives : counts.true_negatives);
    }
  }
  at::Tensor truth, decided;
  const bool* is_true = nullptr;  // their data
  const bool* is_chosen = nullptr;
  int64_t num_samples = 0, num_labels = 0;
};

double ratio(double numerator, double denominator, double zero_division) {
  return denominator == 0.0 ? zero_division : numerator / denominator;
}

double clipped_log(double probability) {
  constexpr double kEpsilon = std::numeric_limits<double>::epsilon();
  return std::log(std::clamp(probability, kEpsilon, 1.0 - kEpsilon));
}

}  // namespace

std::vector<LabelCounts> label_counts(const at::Tensor& truth_NL, const at::Tensor& decided_NL) {
  const Decisions all(truth_NL, decided_NL);
  std::vector<LabelCounts> counts(static_cast<size_t>(all.num_labels));
  for (int64_t n = 0; n < all.num_samples; ++n) {
    for (int64_t l = 0; l < all.num_labels; ++l) all.count(n, l, counts[static_cast<size_t>(l)]);
  }
  return counts;
}

double precision(const LabelCounts& counts, double zero_division) {
  return ratio(static_cast<double>(counts.true_positives),
               static_cast<double>(counts.true_positives + counts.false_positives), zero_division);
}

double recall(const LabelCounts& counts, double zero_division) {
  return ratio(static_cast<double>(counts.true_positives),
               static_cast<double>(counts.true_positives + counts.false_negatives), zero_division);
}

double f_beta(const LabelCounts& counts, double beta, double zero_division) {
  const double beta2 = beta * beta;
  const auto tp = static_cast<double>(counts.true_positives);
  const auto actual = static_cast<double>(counts.true_positives + counts.false_negatives);
  const auto chosen = static_cast<double>(counts.true_positives + counts.false_positives);
  return ratio((1.0 + beta2) * tp, beta2 * actual + chosen, zero_division);
}

double sample_f_beta(const at::Tensor& truth_NL, const at::Tensor& decided_NL, double beta,
                     double zero_division) {
  const Decisions all(truth_NL, decided_NL);
  double total = 0.0;
  for (int64_t n = 0; n < all.num_samples; ++n) {
    LabelCounts counts;
    for (int64_t l = 0; l < all.num_labels; ++l) all.count(n, l, counts);
    total += f_beta(counts, beta, zero_division);
  }
  return ratio(total, static_cast<double>(all.num_samples), kNaN);
}

double macro_f_beta(const at::Tensor& truth_NL, const at::Tensor& decided_NL, double beta,
                    double zero_division) {
  const std::vector<LabelCounts> counts = label_counts(truth_NL, decided_NL);
  double total = 0.0;
  for (const LabelCounts& label : counts) total += f_beta(label, beta, zero_division);
  return ratio(total, static_cast<double>(counts.size()), kNaN);
}

double micro_f_beta(const at::Tensor& truth_NL, const at::Tensor& decided_NL, double beta,
                    double zero_division) {
  LabelCounts sum;
  for (const LabelCounts& label : label_counts(truth_NL, decided_NL)) {
    sum.true_positives += label.true_positives;
    sum.false_positives += label.false_positives;
    sum.false_negatives += label.false_negatives;
    sum.true_negatives += label.true_negatives;
  }
  return f_beta(sum, beta, zero_division);
}

double accuracy(const at::Tensor& truth_N, const at::Tensor& scores_NC) {
  const at::Tensor truth = table(truth_N, at::kLong, 1);
  const at::Tensor scores = table(scores_NC, at::kDouble, 2);
  check_rows(truth, scores, false);
  const int64_t num_samples = truth.size(0), num_classes = scores.size(1);
  const int64_t* classes = truth.const_data_ptr<int64_t>();
  const double* rows = scores.const_data_ptr<double>();
  int64_t right = 0;
  for (int64_t n = 0; n < num_samples; ++n) {
    const double* row = rows + n * num_classes;
    right += std::max_element(row, row + num_classes) - row == classes[n] ? 1 : 0;
  }
  return ratio(static_cast<double>(right), static_cast<double>(num_samples), kNaN);
}

double binary_log_loss(const at::Tensor& truth_NL, const at::Tensor& probabilities_NL) {
  const at::Tensor truth = table(truth_NL.ne(0), at::kBool, 2);
  const at::Tensor probabilities = table(probabilities_NL, at::kDouble, 2);
  check_rows(truth, probabilities, true);
  const bool* positive = truth.const_data_ptr<bool>();
  const double* p = probabilities.const_data_ptr<double>();
  double total = 0.0;
  for (int64_t i = 0; i < truth.numel(); ++i) total -= clipped_log(positive[i] ? p[i] : 1.0 - p[i]);
  return ratio(total, static_cast<double>(truth.numel()), kNaN);
}

double class_log_loss(const at::Tensor& truth_N, const at::Tensor& probabilities_NC) {
  const at::Tensor truth = table(truth_N, at::kLong, 1);
  const at::Tensor probabilities = table(probabilities_NC, at::kDouble, 2);
  check_rows(truth, probabilities, false);
  const int64_t num_samples = truth.size(0), num_classes = probabilities.size(1);
  const int64_t* classes = truth.const_data_ptr<int64_t>();
  const double* p = probabilities.const_data_ptr<double>();
  double total = 0.0;
  for (int64_t n = 0; n < num_samples; ++n) {
    if (classes[n] < 0 || classes[n] >= num_classes) {
      throw Error(ErrorKind::kData, fmt::format("row {} has class {}, predictions have {} classes",
                                                n, classes[n], num_classes));
    }
    total -= clipped_log(p[n * num_classes + classes[n]]);
  }
  return ratio(total, static_cast<double>(num_samples), kNaN);
}

double roc_auc(const at::Tensor& truth_N, const at::Tensor& scores_N) {
  const at::Tensor truth = table(truth_N.ne(0), at::kBool, 1);
  const at::Tensor scores = table(scores_N, at::kDouble, 1);
  check_rows(truth, scores, true);
  const bool* positive = truth.const_data_ptr<bool>();
  const double* score = scores.const_data_ptr<double>();
  std::vector<int64_t> order(static_cast<size_t>(truth.numel()));
  std::iota(order.begin(), order.end(), int64_t{0});
  for (int64_t i : order) {
    if (std::isnan(score[i]))
      throw Error(ErrorKind::kNumeric, fmt::format("the score of row {} is NaN", i));
  }
  std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return score[a] < score[b]; });

  double rank_sum = 0.0;  // of the positives; ranks from 1, equal scores share the mean of theirs
  int64_t num_positive = 0;
  for (size_t begin = 0; begin < order.size();) {
    size_t end = begin;
    int64_t positives_here = 0;
    while (end < order.size() && score[order[end]] == score[order[begin]]) {
      positives_here += positive[order[end]] ? 1 : 0;
      ++end;
    }
    rank_sum += static_cast<double>(positives_here) * (static_cast<double>(begin + 1 + end) / 2.0);
    num_positive += positives_here;
    begin = end;
  }
  const auto p = static_cast<double>(num_positive);
  const auto n = static_cast<double>(truth.numel() - num_positive);
  return ratio(rank_sum - p * (p + 1.0) / 2.0, p * n, kNaN);
}

}  // namespace baleen
