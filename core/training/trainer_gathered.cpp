// The step of an objective that sees the outputs of the whole global batch.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include "core/base/error.h"
#include "core/nn/batch_norm.h"
#include "core/training/trainer.h"

namespace baleen {
namespace {

constexpr int64_t kCountColumn = 0;
constexpr int64_t kFirstTargetColumn = 3;  // after those that every table of the trainer has

/// The table that ranks exchange: a row per logical shard with its number of samples, a wish to
/// stop, the time it took its rank in the step before, its targets and its outputs. All shards'
/// rows are as wide as the largest shard needs.
struct Layout {
  int64_t room;  ///< samples of the largest shard
  int64_t num_outputs;

  int64_t first_output_column() const { return kFirstTargetColumn + room; }
  int64_t width() const { return first_output_column() + room * num_outputs; }
};

/// One micro-batch's place in its shard.
struct Place {
  int64_t local_shard;
  int64_t first;
};

}  // namespace

/// Gathers outputs and targets of all shards, evaluates the objective on every rank alike, then
/// backpropagates each local micro-batch with its rows of the gradient. Where shards are cut into
/// micro-batches, they go through the network twice, so that only one graph is alive at a time.
Trainer::StepSums Trainer::backward_gathered(const std::vector<Batch>& batches, int64_t epoch,
                                             bool stop) {
  if (options_.batch_norm == BatchNormMode::kSync)
    throw Error(ErrorKind::kConfiguration,
                "batch_norm: sync does not go with losses over whole batches of embeddings",
                "take batch_norm: local or frozen");
  const ShardRange shards = parts_.reducer->shards();
  const int64_t num_samples = batches.front().global_count;
  const bool twice = static_cast<int64_t>(batches.size()) > shards.last - shards.first;
  std::vector<at::Tensor> outputs;
  std::vector<Place> places;
  int64_t micro = 0;
  int64_t filled = 0;
  for (const Batch& batch : batches) {
    micro = batch.first_of_shard ? 0 : micro + 1;
    if (batch.first_of_shard) filled = 0;
    const at::AutoGradMode grad(!twice);
    const FrozenStatistics still(*parts_.network, twice);
    const TrainingLogits logits = forward(batch, epoch, micro);
    if (logits.auxiliary.defined())
      throw Error(ErrorKind::kConfiguration,
                  "an auxiliary classifier has no place in a loss over embeddings",
                  "set the backbone's auxiliary to false");
    outputs.push_back(logits.main);
    places.push_back({batch.shard - shards.first, filled});
    filled += logits.main.size(0);
  }

  const Layout layout{(num_samples + shards.total - 1) / shards.total, outputs.front().size(1)};
  at::Tensor rows = at::zeros({shards.last - shards.first, layout.width()}, at::kDouble);
  static_assert(kFirstTargetColumn == kNumFixedColumns);
  fill_own_columns(rows, stop);
  for (size_t i = 0; i < batches.size(); ++i) {
    const int64_t count = outputs[i].size(0);
    at::Tensor row = rows[places[i].local_shard];
    row.narrow(0, kCountColumn, 1).add_(static_cast<double>(count));
    row.narrow(0, kFirstTargetColumn + places[i].first, count)
        .copy_(batches[i].targets.to(at::kDouble));
    row.narrow(0, layout.first_output_column() + places[i].first * layout.num_outputs,
               count * layout.num_outputs)
        .copy_(outputs[i].detach().to(at::kCPU, at::kDouble).reshape({-1}));
  }
  const at::Tensor all = parts_.reducer->gather_shards(rows);

  std::vector<at::Tensor> all_outputs, all_targets;
  std::vector<int64_t> first_of_shard;
  int64_t before = 0;
  StepSums sums;
  for (int64_t shard = 0; shard < shards.total; ++shard) {
    const at::Tensor row = all[shard];
    const auto count = static_cast<int64_t>(row[kCountColumn].item<double>());
    sums.stop = sums.stop || row[kStopColumn].item<double>() != 0;
    sums.compute_s.push_back(row[kTimeColumn].item<double>());
    first_of_shard.push_back(before);
    before += count;
    all_targets.push_back(row.narrow(0, kFirstTargetColumn, count));
    all_outputs.push_back(row.narrow(0, layout.first_output_column(), count * layout.num_outputs)
                              .view({count, layout.num_outputs}));
  }
  const BatchObjective::Result result =
      parts_.objective->evaluate(at::cat(all_outputs).to(device_),
                                 at::cat(all_targets).to(at::kLong), epoch, batches.front().step);
  sums.loss = result.loss;

  const std::vector<at::Tensor> parameters = parts_.objective->parameters();
  for (size_t i = 0; i < batches.size(); ++i) {
    const Batch& batch = batches[i];
    micro = batch.first_of_shard ? 0 : micro + 1;
    if (twice) outputs[i] = forward(batch, epoch, micro).main;
    const at::Tensor wide =
        outputs[i].scalar_type() == at::kDouble ? outputs[i] : outputs[i].to(at::kFloat);
    const int64_t first = first_of_shard[static_cast<size_t>(batch.shard)] + places[i].first;
    const at::Tensor gradient =
        result.gradient_BD.narrow(0, first, wide.size(0)).to(wide.scalar_type());
    at::Tensor loss = (wide * gradient).sum();
    // The objective's own parameters have their whole gradient in the first shard, and a place in
    // the others' graphs, so that the reduction waits for them everywhere.
    const bool owner = batch.shard == 0 && batch.first_of_shard;
    for (size_t p = 0; p < parameters.size(); ++p)
      loss = loss + (parameters[p] *
                     (owner ? result.parameter_gradients[p] : at::zeros_like(parameters[p])))
                        .sum();
    parts_.reducer->backward(batch.shard, batch.first_of_shard, batch.last_of_shard, scaled(loss));
    outputs[i].reset();
  }
  note_computed();
  return sums;
}

}  // namespace baleen
