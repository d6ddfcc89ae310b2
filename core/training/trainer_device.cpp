// What lets a device work behind the host's back: losses that are read late, passes that are
// recorded once.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <utility>

#include "core/base/error.h"
#include "core/base/logging.h"
#include "core/nn/batch_norm.h"
#include "core/training/logit_sets.h"
#include "core/training/trainer.h"

namespace baleen {

/// Why the host must have a step's numbers before it goes on; empty: it needn't.
std::string Trainer::needs_numbers_at_once() const {
  if (parts_.objective || parts_.loss->batch_term())
    return "the loss is one over whole batches, whose parts ranks exchange within the step";
  if (options_.batch_norm == BatchNormMode::kSync)
    return "batch_norm: sync exchanges statistics within the step";
  if (parts_.scaler) return "the loss scale of fp16 depends on each step";
  return "";
}

void Trainer::choose_modes() {
  if (!parts_.late && !parts_.record) return;
  const std::string at_once = needs_numbers_at_once();
  if (parts_.late && (!at_once.empty() || options_.on_nonfinite == OnNonFinite::kSkip)) {
    log_info("each step waits for the loss of the one before: {}",
             at_once.empty() ? "on_nonfinite: skip must know it" : at_once);
    parts_.late = nullptr;
  }
  if (!parts_.record) return;
  const ShardRange shards = parts_.reducer->shards();
  std::string reason = at_once;
  if (reason.empty() && shards.last - shards.first != shards.total)
    reason = "gradients are summed over ranks while the backward pass runs";
  if (!reason.empty()) {
    log_info("training steps are not recorded as graphs but launched one by one: {}", reason);
    return;
  }
  graphs_ = std::make_unique<StepGraphs>(parts_.record);
  for (const at::Tensor& parameter : parts_.network->parameters()) {
    if (parameter.requires_grad()) trainable_.push_back(parameter);
  }
}

/// One micro-batch by StepGraphs. Gradients of micro-batches are added here, in their order, as
/// autograd would add them.
at::Tensor Trainer::backward_recorded(const Batch& batch, int64_t epoch, int64_t micro) {
  seed_dropout(batch, epoch, micro);
  const bool moves_statistics = batch.shard == 0;
  const ShardResult result = graphs_->run(
      {batch.global_count, moves_statistics}, batch.input(to_device(batch.images_NCHW)),
      to_device(batch.targets),
      [this, moves_statistics, count = batch.global_count](const at::Tensor& images,
                                                           const at::Tensor& targets) {
        const at::Tensor loss =
            micro_batch_loss(*parts_.loss, logits_of(images, moves_statistics), targets, count, {});
        return ShardResult{loss.detach(),
                           torch::autograd::grad({loss}, trainable_, /*grad_outputs=*/{},
                                                 /*retain_graph=*/std::nullopt,
                                                 /*create_graph=*/false, /*allow_unused=*/true)};
      });
  const at::NoGradGuard no_grad;
  if (batch.first_of_shard && batch.last_of_shard) {
    parts_.reducer->accumulate(batch.shard, result.gradients);
    return result.loss.clone();
  }
  if (batch.first_of_shard) shard_gradients_.assign(trainable_.size(), at::Tensor());
  for (size_t i = 0; i < trainable_.size(); ++i) {
    const at::Tensor& gradient = result.gradients[i];
    if (!gradient.defined()) continue;
    at::Tensor& sum = shard_gradients_[i];
    if (sum.defined())
      sum.add_(gradient);
    else
      sum = gradient.clone();
  }
  if (batch.last_of_shard)
    parts_.reducer->accumulate(batch.shard, std::exchange(shard_gradients_, {}));
  return result.loss.clone();
}

/// A step that leaves its numbers on the device, and reads those of an earlier one.
Trainer::StepSums Trainer::step_late(const std::vector<Batch>& batches, bool stop,
                                     StepReport& report, EpochProgress& progress) {
  const ShardRange shards = parts_.reducer->shards();
  std::vector<at::Tensor> numbers = backward_shards(batches, report.epoch);
  note_computed();
  UnreadStep step;
  step.report = report;
  for (const Batch& batch : batches) step.local_shards.push_back(batch.shard - shards.first);
  {
    const at::NoGradGuard no_grad;
    const at::Tensor norm = clip();
    step.has_norm = norm.defined();
    if (step.has_norm) numbers.push_back(norm);
    for (at::Tensor& number : numbers) number = number.to(at::kDouble);
    parts_.late->send(at::stack(numbers));
    apply(report.lr);
  }
  unread_.push_back(std::move(step));
  progress.unread_steps = static_cast<int64_t>(unread_.size());
  StepSums sums;
  if (unread_.size() > kLossLag) {
    sums = read_oldest(stop, progress);
  } else {
    sums = gather(at::zeros({shards.last - shards.first, kNumFixedColumns}, at::kDouble), stop);
  }
  if (parts_.settle_due && parts_.settle_due()) read_all(progress);
  report.loss = newest_loss_;
  return sums;
}

/// [collective] The loss of the oldest step that was not read, over all ranks.
Trainer::StepSums Trainer::read_oldest(bool stop, EpochProgress& progress) {
  const ShardRange shards = parts_.reducer->shards();
  UnreadStep step = std::move(unread_.front());
  unread_.pop_front();
  progress.unread_steps = static_cast<int64_t>(unread_.size());
  const std::vector<double> numbers = parts_.late->receive();
  at::Tensor rows = at::zeros({shards.last - shards.first, kNumFixedColumns}, at::kDouble);
  auto cells = rows.accessor<double, 2>();
  for (size_t i = 0; i < step.local_shards.size(); ++i)
    cells[step.local_shards[i]][kLossColumn] += numbers[i];
  StepSums sums = gather(rows, stop);
  StepReport& report = step.report;
  report.loss = newest_loss_ = sums.loss;
  if (step.has_norm) report.gradient_norm = numbers.back();
  if (!std::isfinite(report.loss) || !std::isfinite(report.gradient_norm))
    handle_non_finite(report, progress);
  add_loss(report, progress);
  return sums;
}

/// [collective]
void Trainer::read_all(EpochProgress& progress) {
  while (!unread_.empty()) read_oldest(/*stop=*/false, progress);
}

/// Of an epoch that ended with an error.
void Trainer::forget_unread(EpochProgress& progress) {
  for (; !unread_.empty(); unread_.pop_front()) parts_.late->receive();
  progress.unread_steps = 0;
}

}  // namespace baleen
