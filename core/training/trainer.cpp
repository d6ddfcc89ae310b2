#include "core/training/trainer.h"

#include <ATen/ATen.h>

#include <array>
#include <cmath>
#include <exception>
#include <utility>

#include "core/base/error.h"
#include "core/base/logging.h"
#include "core/base/seeds.h"
#include "core/optim/ema.h"
#include "core/optim/loss_scaler.h"
#include "core/training/logit_sets.h"
#include "core/training/random_streams.h"

namespace baleen {
namespace {

constexpr int64_t kMaxSkippedInARow = 10;

}  // namespace

Trainer::Trainer(Parts parts, const TrainerOptions& options)
    : parts_(parts), options_(options), device_(parts.network->parameters().at(0).device()) {}

at::Tensor Trainer::to_device(const at::Tensor& tensor) const {
  return device_.is_cpu() ? tensor
                          : tensor.to(device_, tensor.scalar_type(), /*non_blocking=*/true);
}

/// This rank's micro-batches of one step; empty at the end of the epoch.
std::vector<Batch> Trainer::collect_step(BatchSource& source) {
  const int64_t last_shard = parts_.reducer->shards().last - 1;
  std::vector<Batch> batches;
  while (std::optional<Batch> batch = source.next()) {
    batches.push_back(std::move(*batch));
    if (batches.back().shard == last_shard && batches.back().last_of_shard) break;
  }
  return batches;
}

TrainingLogits Trainer::forward(const Batch& batch, int64_t epoch, int64_t micro) {
  const auto key = [](int64_t value) { return static_cast<uint64_t>(value); };
  seed_default_generator(device_,
                         derive_seed(options_.seed, Stream::kDropout,
                                     {key(epoch), key(batch.step), key(batch.shard), key(micro)}));
  const bool synchronised = options_.batch_norm == BatchNormMode::kSync;
  const FrozenStatistics frozen(*parts_.network, batch.shard != 0 && !synchronised);
  const at::Tensor images = batch.input(to_device(batch.images_NCHW));
  const AutocastScope autocast(device_.type(), options_.precision);
  return parts_.network->forward_training(images);
}

at::Tensor Trainer::scaled(const at::Tensor& loss) const {
  return parts_.scaler ? parts_.scaler->scale(loss) : loss;
}

Trainer::StepSums Trainer::gather(const at::Tensor& local_rows, bool stop) {
  // Every row carries the rank's wish, so that it is heard whichever shards the rank has.
  local_rows.select(1, kStopColumn).fill_(stop ? 1.0 : 0.0);
  const at::Tensor rows = parts_.reducer->gather_shards(local_rows);
  const auto cells = rows.accessor<double, 2>();
  StepSums sums;
  for (int64_t shard = 0; shard < rows.size(0); ++shard) {
    sums.loss += cells[shard][kLossColumn];
    sums.stop = sums.stop || cells[shard][kStopColumn] != 0;
  }
  return sums;
}

Trainer::StepSums Trainer::backward_plain(const std::vector<Batch>& batches, int64_t epoch,
                                          bool stop) {
  const ShardRange shards = parts_.reducer->shards();
  std::vector<at::Tensor> losses;
  int64_t micro = 0;
  for (const Batch& batch : batches) {
    micro = batch.first_of_shard ? 0 : micro + 1;
    const TrainingLogits logits = forward(batch, epoch, micro);
    const at::Tensor loss =
        micro_batch_loss(*parts_.loss, logits, to_device(batch.targets), batch.global_count, {});
    losses.push_back(loss.detach());
    parts_.reducer->backward(batch.shard, batch.first_of_shard, batch.last_of_shard, scaled(loss));
  }
  at::Tensor rows = at::zeros({shards.last - shards.first, kNumFixedColumns}, at::kDouble);
  auto cells = rows.accessor<double, 2>();
  for (size_t i = 0; i < batches.size(); ++i) {
    cells[batches[i].shard - shards.first][kLossColumn] += losses[i].item<double>();
  }
  return gather(rows, stop);
}

/// For losses that are functions of sums over the whole batch: all local shards go forward first,
/// their sums are added over shards, and the gradient of the loss in those sums weighs each shard's
/// backward pass. Keeps the graphs of all local shards alive at once.
Trainer::StepSums Trainer::backward_with_statistics(const std::vector<Batch>& batches,
                                                    int64_t epoch, bool stop) {
  const BatchTerm& term = *parts_.loss->batch_term();
  const ShardRange shards = parts_.reducer->shards();
  // Per set of logits: the sum over samples, then the statistics. There is room for all, so that
  // tables are equally wide on all ranks.
  const int64_t num_statistics = term.num_statistics();
  const auto columns_of = [&](const at::Tensor& row, size_t set) {
    const int64_t first = kNumFixedColumns + static_cast<int64_t>(set) * (1 + num_statistics);
    return std::pair(row[first], row.narrow(0, first + 1, num_statistics));
  };
  const int64_t width =
      kNumFixedColumns + static_cast<int64_t>(kMaxLogitSets) * (1 + num_statistics);
  at::Tensor rows = at::zeros({shards.last - shards.first, width}, at::kDouble);
  std::vector<TrainingLogits> logits;
  int64_t micro = 0;
  for (const Batch& batch : batches) {
    micro = batch.first_of_shard ? 0 : micro + 1;
    logits.push_back(forward(batch, epoch, micro));
    at::NoGradGuard no_grad;
    const at::Tensor targets = to_device(batch.targets);
    for_each_set(logits.back(), [&](size_t set, const at::Tensor& logits_NK, double) {
      auto [sum, statistics_S] = columns_of(rows[batch.shard - shards.first], set);
      sum.add_(parts_.loss->sum(logits_NK, targets).to(at::kCPU, at::kDouble));
      statistics_S.add_(term.statistics(logits_NK, targets).to(at::kCPU, at::kDouble));
    });
  }
  rows.select(1, kStopColumn).fill_(stop ? 1.0 : 0.0);
  const at::Tensor all = parts_.reducer->gather_shards(rows);
  // Row by row, in shard order: the same bits on every rank.
  at::Tensor totals = at::zeros({width}, at::kDouble);
  for (int64_t shard = 0; shard < all.size(0); ++shard) totals.add_(all[shard]);
  StepSums sums;
  sums.stop = totals[kStopColumn].item<double>() != 0;
  // A step's micro-batches have images of one size, so that all have auxiliary logits or none.
  std::array<at::Tensor, kMaxLogitSets> weights_S;
  for_each_set(logits.front(), [&](size_t set, const at::Tensor&, double share) {
    const auto [sum, sums_S] = columns_of(totals, set);
    sums.loss +=
        share * global_loss(*parts_.loss, sum.item<double>(), batches.front().global_count, sums_S);
    weights_S[set] = gradient_at(term, sums_S).to(device_);
  });
  for (size_t i = 0; i < batches.size(); ++i) {
    const Batch& batch = batches[i];
    const at::Tensor loss = micro_batch_loss(*parts_.loss, logits[i], to_device(batch.targets),
                                             batch.global_count, weights_S);
    parts_.reducer->backward(batch.shard, batch.first_of_shard, batch.last_of_shard, scaled(loss));
    logits[i] = {};
  }
  return sums;
}

Trainer::StepSums Trainer::backward(const std::vector<Batch>& batches, int64_t epoch, bool stop) {
  if (parts_.objective) return backward_gathered(batches, epoch, stop);
  if (options_.batch_norm == BatchNormMode::kSync)
    return backward_synchronised(batches, epoch, stop);
  if (parts_.loss->batch_term()) return backward_with_statistics(batches, epoch, stop);
  return backward_plain(batches, epoch, stop);
}

/// Clips and applies the gradient. @returns false when the loss scale overflowed and nothing was
/// changed.
bool Trainer::update(double lr, StepReport& report) {
  at::NoGradGuard no_grad;
  const auto& parameters = parts_.optimizer->parameters();
  if (parts_.scaler) {
    // The reduced gradient is the same on every rank, and so is this verdict.
    const bool finite = parts_.scaler->unscale(parameters);
    parts_.scaler->update(finite);
    if (!finite) return false;
  }
  if (options_.clip_norm > 0) {
    report.gradient_norm = clip_gradients(parameters, options_.clip_norm).item<double>();
    if (!std::isfinite(report.gradient_norm)) return false;
  }
  parts_.optimizer->step(lr);
  if (parts_.ema) parts_.ema->update();
  return true;
}

bool Trainer::run_epoch(BatchSource& source, int64_t epoch, int64_t first_step_of_epoch,
                        EpochProgress& progress, const StepHook& after_step) {
  parts_.network->train();
  if (options_.batch_norm == BatchNormMode::kFrozen) use_running_statistics(*parts_.network);
  source.set_epoch(epoch, progress.next_step);
  bool want_stop = false;
  bool complete = true;
  for (;;) {
    std::vector<Batch> batches;
    std::exception_ptr failure;
    try {
      batches = collect_step(source);
    } catch (...) {
      failure = std::current_exception();
    }
    // A sample that one rank can't read must not leave the others waiting in the reduction.
    if (parts_.reducer->any(failure != nullptr)) {
      if (failure) std::rethrow_exception(failure);
      throw PeerFailed();
    }
    if (batches.empty()) break;
    StepReport report;
    report.epoch = epoch;
    report.step = batches.front().step;
    report.samples = batches.front().global_count;
    report.lr = parts_.schedule->lr(first_step_of_epoch + report.step);

    const StepSums sums = backward(batches, epoch, want_stop);
    report.loss = sums.loss;
    if (!std::isfinite(sums.loss)) {
      if (options_.on_nonfinite == OnNonFinite::kStop) {
        throw Error(
            ErrorKind::kNumeric,
            fmt::format("the loss is {} at epoch {}, step {}", sums.loss, epoch, report.step),
            "lower the learning rate, add warm-up or clip_norm, or set training.on_nonfinite to "
            "skip");
      }
      report.skipped = true;
    } else {
      report.skipped = !update(report.lr, report);
    }
    if (parts_.objective) parts_.objective->step_done(!report.skipped);
    if (report.skipped) {
      ++progress.skipped_steps;
      log_warning("epoch {}, step {} was skipped: loss {}, gradient norm {}", epoch, report.step,
                  report.loss, report.gradient_norm);
      if (++skipped_in_a_row_ >= kMaxSkippedInARow) {
        throw Error(ErrorKind::kNumeric,
                    fmt::format("{} steps in a row were not finite, the last at epoch {}, step {}",
                                skipped_in_a_row_, epoch, report.step),
                    "lower the learning rate, add warm-up or clip_norm");
      }
    } else {
      skipped_in_a_row_ = 0;
    }
    if (std::isfinite(report.loss)) {
      progress.loss_sum += report.loss * static_cast<double>(report.samples);
      progress.samples += report.samples;
    }
    progress.next_step = report.step + 1;
    // A wish travels with the next step's exchange, so that all ranks leave after the same step.
    if (sums.stop) {
      if (after_step) after_step(report, progress);
      complete = progress.next_step >= source.steps_per_epoch();
      break;
    }
    if (after_step) want_stop = after_step(report, progress) || want_stop;
  }
  parts_.reducer->broadcast_buffers();
  return complete;
}

}  // namespace baleen
