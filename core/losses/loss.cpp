#include "core/losses/loss.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

namespace baleen {
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
