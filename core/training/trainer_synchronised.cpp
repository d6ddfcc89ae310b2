// The step of BatchNormMode::kSync: the rank's shards side by side, layer by layer.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <array>

#include "core/base/error.h"
#include "core/nn/statistics_exchange.h"
#include "core/training/lockstep.h"
#include "core/training/logit_sets.h"
#include "core/training/trainer.h"

namespace baleen {
namespace {

std::vector<at::Tensor> trainable(const torch::nn::Module& network) {
  std::vector<at::Tensor> parameters;
  for (const at::Tensor& parameter : network.parameters()) {
    if (parameter.requires_grad()) parameters.push_back(parameter);
  }
  return parameters;
}

}  // namespace

Trainer::StepSums Trainer::backward_synchronised(const std::vector<Batch>& batches, int64_t epoch,
                                                 bool stop) {
  const ShardRange shards = parts_.reducer->shards();
  const auto count = static_cast<int64_t>(batches.size());
  if (count != shards.last - shards.first) {
    throw Error(ErrorKind::kConfiguration,
                "batch_norm: sync does not cut shards into micro-batches",
                "set training.accumulate to 1, or batch_norm: local");
  }
  if (count > 1 && !device_.is_cpu()) {
    // Autograd runs all backward passes of a device on one thread, which can't wait for itself.
    throw Error(ErrorKind::kConfiguration,
                fmt::format("batch_norm: sync with {} logical shards on one GPU", count),
                "give the chain as many ranks as it has logical shards, or batch_norm: local");
  }
  const BatchTerm* term = parts_.loss->batch_term();
  const std::vector<at::Tensor> parameters = trainable(*parts_.network);
  std::vector<std::vector<at::Tensor>> gradients(batches.size());
  at::Tensor rows = at::zeros({count, kNumFixedColumns}, at::kDouble);
  // Per set of logits, the main ones and the auxiliary ones; the same on every shard.
  std::array<at::Tensor, kMaxLogitSets> sums_S;
  std::array<double, kMaxLogitSets> shares{};

  Lockstep lockstep([&](const at::Tensor& local) { return parts_.reducer->gather_shards(local); });
  lockstep.run(count, [&](int64_t index, StatisticsExchange& exchange) {
    const Batch& batch = batches[static_cast<size_t>(index)];
    const SynchronisedStatistics scope(exchange, /*moves_statistics=*/batch.shard == 0);
    const at::Tensor targets = to_device(batch.targets);
    const TrainingLogits logits = forward(batch, epoch, /*micro=*/0);
    std::array<at::Tensor, kMaxLogitSets> weights_S;
    if (term) {
      const at::NoGradGuard no_grad;
      for_each_set(logits, [&](size_t set, const at::Tensor& logits_NK, double share) {
        sums_S[set] = sum_in_order(
            exchange.gather(term->statistics(logits_NK, targets).to(at::kCPU, at::kDouble)));
        shares[set] = share;
        weights_S[set] = gradient_at(*term, sums_S[set]).to(device_);
        rows[index][kLossColumn] +=
            share * parts_.loss->sum(logits_NK, targets).to(at::kCPU, at::kDouble);
      });
    }
    const at::Tensor loss =
        micro_batch_loss(*parts_.loss, logits, targets, batch.global_count, weights_S);
    if (!term) rows[index][kLossColumn] = loss.detach().to(at::kCPU, at::kDouble);
    // Not into the parameters' own gradients: those of the other shards would be added in an order
    // that depends on how shards lie on ranks.
    gradients[static_cast<size_t>(index)] = torch::autograd::grad(
        {scaled(loss)}, parameters, /*grad_outputs=*/{}, /*retain_graph=*/std::nullopt,
        /*create_graph=*/false, /*allow_unused=*/true);
  });
  for (size_t i = 0; i < batches.size(); ++i)
    parts_.reducer->accumulate(batches[i].shard, std::move(gradients[i]));
  compute_s_ = 0;  // every layer waits for the others: no rank's own time can be told apart

  StepSums sums = gather(rows, stop);
  if (term) {
    const int64_t samples = batches.front().global_count;
    sums.loss = global_loss(*parts_.loss, sums.loss, samples, sums_S[0]);
    if (sums_S[1].defined())
      sums.loss += shares[1] * global_loss(*parts_.loss, 0.0, samples, sums_S[1]);
  }
  return sums;
}

}  // namespace baleen
