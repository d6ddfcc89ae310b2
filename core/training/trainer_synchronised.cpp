// The step of BatchNormMode::kSync: the rank's shards side by side, layer by layer.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "core/base/error.h"
#include "core/training/lockstep.h"
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

at::Tensor sum_in_order(const at::Tensor& rows_VK) {
  at::Tensor totals = at::zeros({rows_VK.size(1)}, rows_VK.options());
  for (int64_t shard = 0; shard < rows_VK.size(0); ++shard) totals.add_(rows_VK[shard]);
  return totals;
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
  const int64_t num_statistics = term ? term->num_statistics() : 0;
  const std::vector<at::Tensor> parameters = trainable(*parts_.network);
  std::vector<std::vector<at::Tensor>> gradients(batches.size());
  at::Tensor rows = at::zeros({count, kNumFixedColumns}, at::kDouble);
  at::Tensor sums_S;

  Lockstep lockstep([&](const at::Tensor& local) { return parts_.reducer->gather_shards(local); });
  lockstep.run(count, [&](int64_t index, StatisticsExchange& exchange) {
    const Batch& batch = batches[static_cast<size_t>(index)];
    const SynchronisedStatistics scope(exchange, /*moves_statistics=*/batch.shard == 0);
    const at::Tensor targets = to_device(batch.targets);
    const at::Tensor logits = forward(batch, epoch, /*micro=*/0);
    at::Tensor weights_S;
    if (term) {
      const at::NoGradGuard no_grad;
      const at::Tensor all =
          exchange.gather(term->statistics(logits, targets).to(at::kCPU, at::kDouble));
      sums_S = sum_in_order(all);
      weights_S = gradient_at(*term, sums_S).to(device_);
      rows[index][kLossColumn] = parts_.loss->sum(logits, targets).to(at::kCPU, at::kDouble);
    }
    const at::Tensor loss =
        shard_loss(*parts_.loss, logits, targets, batch.global_count, weights_S);
    if (!term) rows[index][kLossColumn] = loss.detach().to(at::kCPU, at::kDouble);
    // Not into the parameters' own gradients: those of the other shards would be added in an order
    // that depends on how shards lie on ranks.
    gradients[static_cast<size_t>(index)] = torch::autograd::grad(
        {scaled(loss)}, parameters, /*grad_outputs=*/{}, /*retain_graph=*/std::nullopt,
        /*create_graph=*/false, /*allow_unused=*/true);
  });
  for (size_t i = 0; i < batches.size(); ++i)
    parts_.reducer->accumulate(batches[i].shard, std::move(gradients[i]));

  StepSums sums = gather(rows, stop);
  if (num_statistics > 0)
    sums.loss = global_loss(*parts_.loss, sums.loss, batches.front().global_count, sums_S);
  return sums;
}

}  // namespace baleen
