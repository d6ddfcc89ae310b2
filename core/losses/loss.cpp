#include "core/losses/loss.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include <utility>

#include "core/base/error.h"
#include "core/losses/terms.h"

namespace baleen {
namespace {

[[noreturn]] void refuse(std::string message, std::string hint) {
  throw Error(ErrorKind::kConfiguration, std::move(message), std::move(hint));
}

std::unique_ptr<Loss> make_bce(const LossOptions& options, int64_t num_outputs) {
  const std::vector<double>& weights = options.pos_weight;
  if (weights.empty()) return std::make_unique<BinaryCrossEntropy>(at::Tensor());
  if (weights.size() != 1 && static_cast<int64_t>(weights.size()) != num_outputs) {
    refuse(fmt::format("pos_weight has {} values for {} labels", weights.size(), num_outputs),
           "give one value for all labels, or one per label in the dataset's order");
  }
  for (double weight : weights) {
    if (!(weight > 0.0))
      refuse(fmt::format("pos_weight holds {}", weight), "weights must be above 0");
  }
  return std::make_unique<BinaryCrossEntropy>(at::tensor(weights, at::kDouble));
}

std::unique_ptr<Loss> make_f2(const LossOptions& options, int64_t num_outputs,
                              std::unique_ptr<Loss> bce) {
  const double weight = bce ? options.f2_weight : 1.0;
  std::vector<LossSum::Part> parts;
  if (bce) parts.push_back({1.0, std::move(bce)});
  std::unique_ptr<BatchTerm> term;
  if (options.f2_variant == "per_sample") {
    parts.push_back({weight, std::make_unique<SampleSoftF2>(options.f2_epsilon)});
  } else if (options.f2_variant == "per_label") {
    term = std::make_unique<BatchSoftF2>(num_outputs, options.f2_epsilon, weight);
  } else if (options.f2_variant == "global") {
    term = std::make_unique<BatchSoftF2>(1, options.f2_epsilon, weight);
  } else {
    refuse(fmt::format("unknown f2_variant '{}'", options.f2_variant),
           "known: per_sample, per_label, global");
  }
  return std::make_unique<LossSum>(std::move(parts), std::move(term));
}

}  // namespace

std::unique_ptr<Loss> make_loss(const LossOptions& options, int64_t num_outputs) {
  if (options.kind != "bce" && options.kind != "bce_soft_f2" && !options.pos_weight.empty()) {
    refuse(fmt::format("pos_weight is given for the loss '{}'", options.kind),
           "it belongs to bce and bce_soft_f2");
  }
  if (options.kind != "cross_entropy" && options.label_smoothing != 0.0) {
    refuse(fmt::format("label_smoothing is given for the loss '{}'", options.kind),
           "it belongs to cross_entropy");
  }
  if (options.kind == "bce") return make_bce(options, num_outputs);
  if (options.kind == "cross_entropy")
    return std::make_unique<CrossEntropy>(options.label_smoothing);
  if (options.kind == "soft_f2") return make_f2(options, num_outputs, nullptr);
  if (options.kind == "bce_soft_f2")
    return make_f2(options, num_outputs, make_bce(options, num_outputs));
  refuse(fmt::format("unknown loss '{}'", options.kind),
         "known: bce, cross_entropy, soft_f2, bce_soft_f2");
}

at::Tensor gradient_at(const BatchTerm& term, const at::Tensor& sums_S) {
  at::AutoGradMode grad(true);
  const at::Tensor sums = sums_S.detach().to(at::kDouble).set_requires_grad(true);
  return torch::autograd::grad({term.value(sums)}, {sums})[0];
}

at::Tensor shard_loss(const Loss& loss, const at::Tensor& logits_NK, const at::Tensor& targets,
                      int64_t global_count, const at::Tensor& weights_S) {
  at::Tensor total = loss.sum(logits_NK, targets) / static_cast<double>(global_count);
  if (const BatchTerm* term = loss.batch_term()) {
    const at::Tensor statistics_S = term->statistics(logits_NK, targets);
    total = total + (weights_S.to(statistics_S.options()) * statistics_S).sum();
  }
  return total;
}

double global_loss(const Loss& loss, double total, int64_t global_count, const at::Tensor& sums_S) {
  double value = total / static_cast<double>(global_count);
  if (const BatchTerm* term = loss.batch_term())
    value += term->value(sums_S.detach().to(at::kDouble)).item<double>();
  return value;
}

}  // namespace baleen
