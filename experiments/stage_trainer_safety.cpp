// How a stage is watched, and what happens when its numbers go wrong.
#include <fmt/format.h>

#include "core/base/logging.h"
#include "core/nn/backbone.h"
#include "distributed/fixed_tree.h"
#include "experiments/collective.h"
#include "experiments/stage_trainer.h"
#include "experiments/stage_trainer_stage.h"

namespace baleen {

void StageTrainer::tell_progress(const Stage& stage, const char* phase) {
  ChainProgress sent;
  sent.stage = state_.stage;
  sent.epoch = state_.epoch;
  sent.step = state_.progress.next_step;
  sent.steps_done = state_.chain_steps;
  sent.samples_per_s = stage.samples_per_s;
  sent.loss = state_.progress.mean_loss();
  sent.phase = phase;
  if (first_rank()) sent.member_step_s = stage.times.member_medians();
  sink_.progress(sent);
}

void StageTrainer::enter_phase(const Stage& stage, const char* phase) {
  if (setup_.say)
    setup_.say(fmt::format("{}, stage {}, epoch {}", phase, state_.stage, state_.epoch), 0);
  tell_progress(stage, phase);
}

/// Each member's own time per logical shard; empty where it was not measured.
std::vector<double> StageTrainer::member_times(const StepReport& report) const {
  if (report.compute_s.empty()) return {};
  if (group_.size() == 1) return {report.compute_s.front()};
  std::vector<double> times;
  for (int rank = 0; rank < group_.size(); ++rank) {
    const ShardRange range = shards_of_rank(setup_.chain->logical_shards, rank, group_.size());
    times.push_back(report.compute_s.at(static_cast<size_t>(range.first)));
  }
  return times;
}

void StageTrainer::remember_epoch_start(const Stage& stage) {
  if (setup_.recipe->training.on_nonfinite != "roll_back") return;
  on_first_rank(group_, [&] {
    if (state_.progress.next_step == 0)
      checkpoints_.keep_epoch_start(checkpoint(stage));
    else
      checkpoints_.find_epoch_start(state_.stage, state_.epoch, setup_.identity);
  });
}

/// Goes back to what the epoch began with, never to the newest checkpoint: when that was written
/// depends on the clock, and results must not.
void StageTrainer::roll_back(Stage& stage, const Error& cause) {
  const TrainingSection& training = setup_.recipe->training;
  if (state_.roll_backs >= training.roll_back_limit) {
    throw Error(ErrorKind::kNumeric,
                fmt::format("{}, after {} roll-backs", cause.message(), state_.roll_backs),
                cause.hint());
  }
  stage.reducer->close();
  // Told first: who is killed in between rolls back again, and it is told twice rather than never.
  const int64_t lost_steps = state_.progress.next_step;
  sink_.notice(
      {"rolled_back",
       fmt::format("{}: {}; back to the start of epoch {} of stage {} ({} step{} again) "
                   "with {:g} times the learning rate, roll-back {} of {}",
                   setup_.chain->name, cause.message(), state_.epoch, state_.stage, lost_steps,
                   lost_steps == 1 ? "" : "s", state_.lr_factor * training.roll_back_factor,
                   state_.roll_backs + 1, training.roll_back_limit),
       setup_.self.rank});
  on_first_rank(group_, [&] { checkpoints_.roll_back(training.roll_back_factor); });
  resumed_ = checkpoints_.load_latest(setup_.identity, group_);
  if (!resumed_) throw Error(ErrorKind::kInternal, "the checkpoint of a roll-back can't be found");
  state_ = resumed_->state;
}

/// Running statistics agree between ranks only right after they were broadcast.
void StageTrainer::compare_replicas(Stage& stage, bool with_buffers) {
  if (group_.size() == 1 || setup_.recipe->reliability.digest_every_steps == 0) return;
  NamedTensors tensors;
  for (const auto& item : network_->named_parameters())
    tensors.emplace_back(item.key(), item.value());
  if (with_buffers)
    for (const auto& item : network_->named_buffers())
      tensors.emplace_back(item.key(), item.value());
  const std::string difference = replica_difference(tensors, group_, setup_.self);
  if (difference.empty()) {
    stage.agreed_steps = state_.chain_steps;
    checkpoints_.trust(stage.agreed_steps);
    return;
  }
  int64_t dropped = 0;
  if (first_rank()) dropped = checkpoints_.remove_after(stage.agreed_steps);
  sink_.end_run();
  throw Error(
      ErrorKind::kNumeric,
      fmt::format(
          "ranks that must hold the same weights do not: {}, seen after epoch {}, step {} "
          "(step {} of the chain; they agreed after step {}){}",
          difference, state_.epoch, state_.progress.next_step, state_.chain_steps,
          stage.agreed_steps,
          dropped > 0 ? fmt::format("; {} checkpoints written since are dropped", dropped) : ""),
      "memory, processor or network of that host can't be trusted: leave it out, then start the "
      "same command again; work up to the last agreement is kept");
}

}  // namespace baleen
