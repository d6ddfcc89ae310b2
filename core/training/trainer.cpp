#include "core/training/trainer.h"

#include <ATen/ATen.h>

#include <array>
#include <cmath>
#include <exception>
#include <limits>
#include <utility>

#include "core/base/error.h"
#include "core/base/logging.h"
#include "core/base/seeds.h"
#include "core/nn/statistics_exchange.h"
#include "core/optim/ema.h"
#include "core/optim/loss_scaler.h"
#include "core/training/logit_sets.h"
#include "core/training/random_streams.h"

namespace baleen {
namespace {

constexpr int64_t kMaxSkippedInARow = 10;

}  // namespace

Trainer::Trainer(Parts parts, const TrainerOptions& options)
    : parts_(parts), options_(options), device_(parts.network->parameters().at(0).device()) {
  choose_modes();
}

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

void Trainer::seed_dropout(const Batch& batch, int64_t epoch, int64_t micro) const {
  const auto key = [](int64_t value) { return static_cast<uint64_t>(value); };
  seed_default_generator(device_,
                         derive_seed(options_.seed, Stream::kDropout,
                                     {key(epoch), key(batch.step), key(batch.shard), key(micro)}));
}

TrainingLogits Trainer::logits_of(const at::Tensor& images_NCHW, bool moves_statistics) {
  const FrozenStatistics frozen(*parts_.network, !moves_statistics);
  const AutocastScope autocast(device_.type(), options_.precision);
  return parts_.network->forward_training(images_NCHW);
}

TrainingLogits Trainer::forward(const Batch& batch, int64_t epoch, int64_t micro) {
  seed_dropout(batch, epoch, micro);
  const bool synchronised = options_.batch_norm == BatchNormMode::kSync;
  return logits_of(batch.input(to_device(batch.images_NCHW)), batch.shard == 0 || synchronised);
}

at::Tensor Trainer::scaled(const at::Tensor& loss) const {
  return parts_.scaler ? parts_.scaler->scale(loss) : loss;
}

/// What every row carries beside the loss, so that it is heard whichever shards the rank has.
void Trainer::fill_own_columns(const at::Tensor& local_rows, bool stop) const {
  const bool wanted = stop || (parts_.stop_requested && parts_.stop_requested());
  local_rows.select(1, kStopColumn).fill_(wanted ? 1.0 : 0.0);
  local_rows.select(1, kTimeColumn).fill_(compute_s_ / static_cast<double>(local_rows.size(0)));
}

void Trainer::note_computed() {
  const std::chrono::duration<double> whole = parts_.reducer->computed_at() - step_start_;
  compute_s_ = std::max(0.0, whole.count() - waited_s_);
}

Trainer::StepSums Trainer::gather(const at::Tensor& local_rows, bool stop) {
  fill_own_columns(local_rows, stop);
  const at::Tensor rows = parts_.reducer->gather_shards(local_rows);
  const auto cells = rows.accessor<double, 2>();
  StepSums sums;
  for (int64_t shard = 0; shard < rows.size(0); ++shard) {
    sums.loss += cells[shard][kLossColumn];
    sums.stop = sums.stop || cells[shard][kStopColumn] != 0;
    sums.compute_s.push_back(cells[shard][kTimeColumn]);
  }
  return sums;
}

/// Forward and backward of this rank's micro-batches. @returns the loss of each, on the device
std::vector<at::Tensor> Trainer::backward_shards(const std::vector<Batch>& batches, int64_t epoch) {
  std::vector<at::Tensor> losses;
  int64_t micro = 0;
  for (const Batch& batch : batches) {
    micro = batch.first_of_shard ? 0 : micro + 1;
    if (graphs_) {
      losses.push_back(backward_recorded(batch, epoch, micro));
      continue;
    }
    const TrainingLogits logits = forward(batch, epoch, micro);
    const at::Tensor loss =
        micro_batch_loss(*parts_.loss, logits, to_device(batch.targets), batch.global_count, {});
    losses.push_back(loss.detach());
    parts_.reducer->backward(batch.shard, batch.first_of_shard, batch.last_of_shard, scaled(loss));
  }
  return losses;
}

Trainer::StepSums Trainer::backward_plain(const std::vector<Batch>& batches, int64_t epoch,
                                          bool stop) {
  const ShardRange shards = parts_.reducer->shards();
  const std::vector<at::Tensor> losses = backward_shards(batches, epoch);
  at::Tensor rows = at::zeros({shards.last - shards.first, kNumFixedColumns}, at::kDouble);
  auto cells = rows.accessor<double, 2>();
  for (size_t i = 0; i < batches.size(); ++i) {
    cells[batches[i].shard - shards.first][kLossColumn] += losses[i].item<double>();
  }
  note_computed();
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
  fill_own_columns(rows, stop);
  const at::Tensor all = parts_.reducer->gather_shards(rows);
  const at::Tensor totals = sum_in_order(all);
  StepSums sums;
  sums.stop = totals[kStopColumn].item<double>() != 0;
  for (int64_t shard = 0; shard < all.size(0); ++shard)
    sums.compute_s.push_back(all[shard][kTimeColumn].item<double>());
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
  note_computed();
  return sums;
}

Trainer::StepSums Trainer::backward(const std::vector<Batch>& batches, int64_t epoch, bool stop) {
  if (parts_.objective) return backward_gathered(batches, epoch, stop);
  if (options_.batch_norm == BatchNormMode::kSync)
    return backward_synchronised(batches, epoch, stop);
  if (parts_.loss->batch_term()) return backward_with_statistics(batches, epoch, stop);
  return backward_plain(batches, epoch, stop);
}

void Trainer::keep_buffers() {
  const at::NoGradGuard no_grad;
  if (buffers_.empty()) buffers_ = parts_.network->buffers();
  if (kept_buffers_.empty())
    for (const at::Tensor& buffer : buffers_) kept_buffers_.push_back(buffer.clone());
  else
    for (size_t i = 0; i < buffers_.size(); ++i) kept_buffers_[i].copy_(buffers_[i]);
}

/// The forward pass of a step that is left out has moved the running statistics already, to
/// something that is not finite either.
void Trainer::restore_buffers() {
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < kept_buffers_.size(); ++i) buffers_[i].copy_(kept_buffers_[i]);
}

/// Clips the gradient where the options ask for it. @returns its norm on the device, undefined
/// where nobody wants it: under kStop it is computed only for clipping, as the next loss tells.
at::Tensor Trainer::clip() {
  if (options_.clip_norm <= 0 && options_.on_nonfinite == OnNonFinite::kStop) return {};
  const double largest =
      options_.clip_norm > 0 ? options_.clip_norm : std::numeric_limits<double>::infinity();
  return clip_gradients(parts_.optimizer->parameters(), largest);
}

/// Clips. @returns false when the gradient is not finite
bool Trainer::finite_gradient(StepReport& report) {
  const at::Tensor norm = clip();
  if (!norm.defined()) return true;
  report.gradient_norm = norm.item<double>();
  return std::isfinite(report.gradient_norm);
}

void Trainer::apply(double lr) {
  parts_.optimizer->step(lr);
  if (parts_.objective) parts_.objective->updated();
  if (parts_.ema) parts_.ema->update();
}

/// Clips and applies the gradient. @returns false when nothing was changed.
bool Trainer::update(double lr, StepReport& report) {
  at::NoGradGuard no_grad;
  if (parts_.scaler) {
    // The reduced gradient is the same on every rank, and so is this verdict.
    const bool finite = parts_.scaler->unscale(parts_.optimizer->parameters());
    parts_.scaler->update(finite);
    if (!finite) return false;
  }
  if (!finite_gradient(report)) return false;
  apply(lr);
  return true;
}

/// All ranks hold the same loss and the same summed gradient, and so come to the same verdict.
void Trainer::handle_non_finite(StepReport& report, EpochProgress& progress) {
  const bool bad_loss = !std::isfinite(report.loss);
  const std::string what = bad_loss ? fmt::format("the loss is {} at epoch {}, step {}",
                                                  report.loss, report.epoch, report.step)
                                    : fmt::format("the gradient's norm is {} at epoch {}, step {}",
                                                  report.gradient_norm, report.epoch, report.step);
  // An overflow of the loss scale is how float16 finds its scale, not a fault.
  const bool overflow = parts_.scaler && !bad_loss && report.gradient_norm == 0;
  if (!overflow && options_.on_nonfinite == OnNonFinite::kRollBack)
    throw NonFiniteStep(ErrorKind::kNumeric, what,
                        "lower the learning rate, add warm-up or clip_norm");
  if (!overflow && options_.on_nonfinite == OnNonFinite::kStop)
    throw Error(ErrorKind::kNumeric, what,
                "lower the learning rate, add warm-up or clip_norm, or set training.on_nonfinite "
                "to skip or roll_back");
  if (!overflow) restore_buffers();
  report.skipped = true;
  ++progress.skipped_steps;
  log_warning("epoch {}, step {} was skipped: loss {}, gradient norm {}", report.epoch, report.step,
              report.loss, report.gradient_norm);
  if (++skipped_in_a_row_ < kMaxSkippedInARow) return;
  throw Error(ErrorKind::kNumeric,
              fmt::format("{} steps in a row were not finite, the last at epoch {}, step {}",
                          skipped_in_a_row_, report.epoch, report.step),
              "lower the learning rate, add warm-up or clip_norm");
}

void Trainer::add_loss(const StepReport& report, EpochProgress& progress) const {
  if (!std::isfinite(report.loss)) return;
  progress.loss_sum += report.loss * static_cast<double>(report.samples);
  progress.samples += report.samples;
}

/// A step whose numbers the host waits for.
Trainer::StepSums Trainer::step_at_once(const std::vector<Batch>& batches, bool stop,
                                        StepReport& report, EpochProgress& progress) {
  if (options_.on_nonfinite == OnNonFinite::kSkip) keep_buffers();
  StepSums sums = backward(batches, report.epoch, stop);
  report.loss = sums.loss;
  if (std::isfinite(sums.loss) && update(report.lr, report)) {
    skipped_in_a_row_ = 0;
  } else {
    handle_non_finite(report, progress);
  }
  if (parts_.objective) parts_.objective->step_done(!report.skipped);
  add_loss(report, progress);
  return sums;
}

bool Trainer::run_epoch(BatchSource& source, int64_t epoch, int64_t first_step_of_epoch,
                        EpochProgress& progress, const StepHook& after_step) {
  parts_.network->train();
  if (options_.batch_norm == BatchNormMode::kFrozen) use_running_statistics(*parts_.network);
  source.set_epoch(epoch, progress.next_step);
  forget_unread(progress);
  if (graphs_) graphs_->begin_epoch(*parts_.network);
  bool want_stop = false;
  bool complete = true;
  const bool alone = parts_.reducer->shards().last - parts_.reducer->shards().first ==
                     parts_.reducer->shards().total;
  for (;;) {
    step_start_ = Clock::now();
    std::vector<Batch> batches;
    std::exception_ptr failure;
    try {
      batches = collect_step(source);
    } catch (...) {
      failure = std::current_exception();
    }
    // A sample that one rank can't read must not leave the others waiting in the reduction.
    const auto read_at = Clock::now();
    if (parts_.reducer->any(failure != nullptr)) {
      if (failure) std::rethrow_exception(failure);
      throw PeerFailed();
    }
    waited_s_ = std::chrono::duration<double>(Clock::now() - read_at).count();
    if (batches.empty()) {
      read_all(progress);
      break;
    }
    StepReport report;
    report.epoch = epoch;
    report.step = batches.front().step;
    report.samples = batches.front().global_count;
    report.lr = options_.lr_factor * parts_.schedule->lr(first_step_of_epoch + report.step);

    StepSums sums;
    try {
      sums = reads_late() ? step_late(batches, want_stop, report, progress)
                          : step_at_once(batches, want_stop, report, progress);
    } catch (const Error& error) {
      // Of such kinds only this rank fails, and the others wait in the sum of gradients: the chain
      // can't go on without the whole job.
      if (alone || (error.kind() != ErrorKind::kData && error.kind() != ErrorKind::kConfiguration))
        throw;
      throw Error(ErrorKind::kInternal, error.what());
    }
    progress.next_step = report.step + 1;
    report.compute_s = std::move(sums.compute_s);
    if (alone) {
      const std::chrono::duration<double> whole = Clock::now() - step_start_;
      report.compute_s.assign(1,
                              whole.count() / static_cast<double>(parts_.reducer->shards().total));
    }
    // A wish travels with a step's exchange, so that all ranks leave after the same step.
    if (sums.stop) {
      read_all(progress);
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
