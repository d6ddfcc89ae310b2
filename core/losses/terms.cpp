#include "core/losses/terms.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <sstream>
#include <utility>

#include "core/base/error.h"

namespace baleen {
namespace {

std::string shape_of(const at::Tensor& tensor) {
  std::ostringstream text;
  text << tensor.sizes() << ' ' << tensor.scalar_type();
  return text.str();
}

}  // namespace

at::Tensor widened(const at::Tensor& logits_NK) {
  return logits_NK.scalar_type() == at::kDouble ? logits_NK : logits_NK.to(at::kFloat);
}

at::Tensor label_targets(const at::Tensor& logits_NK, const at::Tensor& targets_NK) {
  if (logits_NK.dim() != 2 || targets_NK.sizes() != logits_NK.sizes()) {
    throw Error(
        ErrorKind::kConfiguration,
        fmt::format("this loss needs one target per output: logits are {}, targets {}",
                    shape_of(logits_NK), shape_of(targets_NK)),
        "bce and soft_f2 are for data with tags; for one class per image take cross_entropy");
  }
  return targets_NK.to(logits_NK.options());
}

BinaryCrossEntropy::BinaryCrossEntropy(at::Tensor pos_weight_K)
    : pos_weight_K_(std::move(pos_weight_K)) {}

at::Tensor BinaryCrossEntropy::sum(const at::Tensor& logits_NK,
                                   const at::Tensor& targets_NK) const {
  const at::Tensor logits = widened(logits_NK);
  const at::Tensor targets = label_targets(logits, targets_NK);
  std::optional<at::Tensor> pos_weight;
  if (pos_weight_K_.defined()) pos_weight = pos_weight_K_.to(logits.options());
  return at::binary_cross_entropy_with_logits(logits, targets, {}, pos_weight, at::Reduction::Sum) /
         static_cast<double>(logits.size(1));
}

at::Tensor BinaryCrossEntropy::probabilities(const at::Tensor& logits_NK) const {
  return at::sigmoid(widened(logits_NK));
}

CrossEntropy::CrossEntropy(double label_smoothing) : label_smoothing_(label_smoothing) {}

at::Tensor CrossEntropy::sum(const at::Tensor& logits_NK, const at::Tensor& targets_N) const {
  const bool shares = logits_NK.dim() == 2 && targets_N.sizes() == logits_NK.sizes() &&
                      at::isFloatingType(targets_N.scalar_type());
  if (shares) {
    const at::Tensor logits = widened(logits_NK);
    return at::cross_entropy_loss(logits, targets_N.to(logits.options()), {}, at::Reduction::Sum,
                                  /*ignore_index=*/-100, label_smoothing_);
  }
  if (logits_NK.dim() != 2 || targets_N.dim() != 1 || targets_N.size(0) != logits_NK.size(0) ||
      targets_N.scalar_type() != at::kLong) {
    throw Error(
        ErrorKind::kConfiguration,
        fmt::format("cross_entropy needs one int64 class per sample: logits are {}, targets {}",
                    shape_of(logits_NK), shape_of(targets_N)),
        "for images with several tags take bce or soft_f2");
  }
  return at::cross_entropy_loss(widened(logits_NK), targets_N, {}, at::Reduction::Sum,
                                /*ignore_index=*/-100, label_smoothing_);
}

at::Tensor CrossEntropy::probabilities(const at::Tensor& logits_NK) const {
  return at::softmax(widened(logits_NK), 1);
}

at::Tensor soft_f2(const at::Tensor& true_positives, const at::Tensor& predicted,
                   const at::Tensor& actual, double epsilon) {
  const at::Tensor precision = true_positives / (predicted + epsilon);
  const at::Tensor recall = true_positives / (actual + epsilon);
  return 5.0 * precision * recall / (4.0 * precision + recall + epsilon);
}

at::Tensor SampleSoftF2::sum(const at::Tensor& logits_NK, const at::Tensor& targets_NK) const {
  const at::Tensor logits = widened(logits_NK);
  const at::Tensor targets = label_targets(logits, targets_NK);
  const at::Tensor p = at::sigmoid(logits);
  return (1.0 - soft_f2((targets * p).sum(1), p.sum(1), targets.sum(1), epsilon_)).sum();
}

at::Tensor SampleSoftF2::probabilities(const at::Tensor& logits_NK) const {
  return at::sigmoid(widened(logits_NK));
}

BatchSoftF2::BatchSoftF2(int64_t num_labels, double epsilon, double weight)
    : num_labels_(num_labels), epsilon_(epsilon), weight_(weight) {}

at::Tensor BatchSoftF2::statistics(const at::Tensor& logits_NK,
                                   const at::Tensor& targets_NK) const {
  const at::Tensor logits = widened(logits_NK);
  const at::Tensor targets = label_targets(logits, targets_NK);
  const at::Tensor p = at::sigmoid(logits);
  const auto total = [&](const at::Tensor& x_NK) {
    return num_labels_ == 1 ? x_NK.sum().view({1}) : x_NK.sum(0);
  };
  return at::cat({total(targets * p), total(p), total(targets)});
}

at::Tensor BatchSoftF2::value(const at::Tensor& sums_S) const {
  const at::Tensor rows = sums_S.view({3, num_labels_});
  return weight_ * (1.0 - soft_f2(rows[0], rows[1], rows[2], epsilon_)).mean();
}

LossSum::LossSum(std::vector<Part> parts, std::unique_ptr<BatchTerm> batch_term)
    : parts_(std::move(parts)), batch_term_(std::move(batch_term)) {}

at::Tensor LossSum::sum(const at::Tensor& logits_NK, const at::Tensor& targets_NK) const {
  at::Tensor total = at::zeros({}, widened(logits_NK).options());
  for (const Part& part : parts_)
    total = total + part.weight * part.loss->sum(logits_NK, targets_NK);
  return total;
}

at::Tensor LossSum::probabilities(const at::Tensor& logits_NK) const {
  return at::sigmoid(widened(logits_NK));
}

}  // namespace baleen
