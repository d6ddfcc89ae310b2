#include "core/losses/distillation.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <map>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/losses/terms.h"

namespace baleen {
namespace {

/// Of a teacher's probability, so that one that is certain has finite log-odds.
constexpr double kLeastProbability = 1e-7;

}  // namespace

Distillation::Distillation(std::unique_ptr<Loss> hard, bool classes, double temperature)
    : hard_(std::move(hard)), classes_(classes), temperature_(temperature) {
  if (hard_->batch_term())
    throw Error(ErrorKind::kConfiguration,
                "a loss over whole batches can't be weighed sample by sample against a teacher",
                "with soft F2 take loss.f2_variant: per_sample, or bce");
  if (!(temperature_ > 0))
    throw Error(ErrorKind::kConfiguration,
                fmt::format("a temperature of {} is not above 0", temperature_));
}

at::Tensor Distillation::divergence(const at::Tensor& logits_NK,
                                    const at::Tensor& teacher_NK) const {
  const double scale = temperature_ * temperature_;
  const at::Tensor logits = widened(logits_NK) / temperature_;
  const at::Tensor teacher = teacher_NK.to(logits.options()).clamp(kLeastProbability, 1.0);
  if (classes_) {
    const at::Tensor log_p = at::log_softmax(teacher.log() / temperature_, 1);
    const at::Tensor log_q = at::log_softmax(logits, 1);
    return scale * (log_p.exp() * (log_p - log_q)).sum(1);
  }
  const at::Tensor teacher_logits =
      at::logit(teacher.clamp_max(1.0 - kLeastProbability)) / temperature_;
  const at::Tensor p = at::sigmoid(teacher_logits);
  const at::Tensor on = p * (at::log_sigmoid(teacher_logits) - at::log_sigmoid(logits));
  const at::Tensor off = (1 - p) * (at::log_sigmoid(-teacher_logits) - at::log_sigmoid(-logits));
  return scale * (on + off).mean(1);
}

at::Tensor Distillation::sum(const at::Tensor& logits_NK, const at::Tensor& targets) const {
  const int64_t num_outputs = logits_NK.size(1);
  if (targets.dim() != 2 || targets.size(0) != logits_NK.size(0) ||
      targets.size(1) != 2 * num_outputs + 1)
    throw Error(ErrorKind::kInternal,
                fmt::format("distillation targets of {} columns for {} outputs",
                            targets.dim() == 2 ? targets.size(1) : 0, num_outputs));
  const at::Tensor hard_NK = targets.narrow(1, 0, num_outputs);
  const at::Tensor teacher_NK = targets.narrow(1, num_outputs, num_outputs);
  const at::Tensor weight_N = targets.select(1, 2 * num_outputs);
  at::Tensor total =
      (weight_N.to(widened(logits_NK).options()) * divergence(logits_NK, teacher_NK)).sum();
  // The hard loss comes as a sum: samples of one weight go through it together.
  const at::Tensor weights = weight_N.to(at::kCPU, at::kDouble).contiguous();
  std::map<double, std::vector<int64_t>> samples_of;
  const double* weight = weights.const_data_ptr<double>();
  for (int64_t n = 0; n < weights.numel(); ++n)
    if (weight[n] < 1) samples_of[weight[n]].push_back(n);
  for (const auto& [w, samples] : samples_of) {
    const at::Tensor index = at::tensor(samples, at::kLong).to(logits_NK.device());
    const at::Tensor own = hard_NK.index_select(0, index);
    total = total +
            (1 - w) * hard_->sum(logits_NK.index_select(0, index), classes_ ? own.argmax(1) : own);
  }
  return total;
}

at::Tensor distillation_targets(const at::Tensor& hard, const at::Tensor& teacher_NK,
                                const at::Tensor& weight_N) {
  const at::Tensor own =
      hard.dim() == 1 ? at::one_hot(hard, teacher_NK.size(1)).to(at::kFloat) : hard.to(at::kFloat);
  return at::cat({own, teacher_NK.to(at::kFloat), weight_N.to(at::kFloat).unsqueeze(1)}, 1);
}

}  // namespace baleen
