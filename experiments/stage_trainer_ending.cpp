// How a stage ends: which weights it leaves to the next one.
#include <map>

#include "core/base/error.h"
#include "core/nn/backbone.h"
#include "core/nn/batch_norm.h"
#include "core/weights/safetensors.h"
#include "core/weights/state.h"
#include "experiments/collective.h"
#include "experiments/stage_trainer.h"
#include "experiments/stage_trainer_stage.h"

namespace baleen {
namespace {

/// `weights` with those in `replacements` exchanged by name.
NamedTensors overlaid(NamedTensors weights, const NamedTensors& replacements) {
  std::map<std::string, at::Tensor> by_name(replacements.begin(), replacements.end());
  for (auto& [name, tensor] : weights) {
    if (const auto found = by_name.find(name); found != by_name.end()) tensor = found->second;
  }
  return weights;
}

}  // namespace

/// The stage's batches once more, all logical shards on every rank: each gets the same statistics
/// without a word to the others.
NamedTensors StageTrainer::with_gathered_statistics(const Stage& stage,
                                                    const NamedTensors& weights) {
  return agreed(group_, [&] {
    load_state(*network_, weights, "the stage's final weights");
    TrainingFeedOptions feed = training_feed(stage);
    feed.shards = {0, setup_.chain->logical_shards, setup_.chain->logical_shards};
    const auto source = make_training_source(setup_.table, setup_.training_rows, feed);
    source->set_epoch(state_.epoch, 0);
    const at::NoGradGuard no_grad;
    const GatheredStatistics gathered(*network_);
    for (std::optional<Batch> batch = source->next(); batch; batch = source->next()) {
      if (sink_.stop_requested()) throw_interrupted();
      network_->forward(batch->input(batch->images_NCHW.to(device_)));
    }
    return state_of(*network_);
  });
}

/// Writes the snapshot that is due after the step just done, on the group's first rank. Before a
/// checkpoint of that step is written: a resume takes the step again, or finds the snapshot there.
/// @param weights the stage's final ones; else the network's, averaged where averages are kept
void StageTrainer::keep_snapshot(const Stage& stage, const NamedTensors& weights,
                                 bool stage_ends) const {
  const int64_t steps = state_.epoch * stage.plan->steps_per_epoch + state_.progress.next_step;
  for (const SnapshotMoment& moment : setup_.snapshots) {
    if (moment.stage != state_.stage || moment.ends_stage != stage_ends) continue;
    if (!stage_ends && moment.steps != steps) continue;
    NamedTensors kept = stage_ends ? weights : state_of(*network_);
    if (!stage_ends && stage.ema) kept = overlaid(std::move(kept), stage.ema->state());
    write_safetensors(snapshot_file(setup_.files.directory, moment), kept,
                      setup_.metadata(image_options(stage.plan->size_px)));
  }
}

void StageTrainer::finish_stage(Stage& stage) {
  stage.reducer->close();
  const bool takes_long = stage.options->reestimate_batch_norm;
  if (takes_long) enter_phase(stage, "statistics");
  on_first_rank(group_, [&] {
    checkpoints_.finish_best();
    // Whoever is interrupted in what follows goes on from here.
    if (takes_long) checkpoints_.save_now([&] { return checkpoint(stage); });
  });
  NamedTensors weights = state_of(*network_);
  if (stage.ema) weights = overlaid(weights, stage.ema->state());
  const EarlyStoppingOptions& stopping = stage.options->early_stopping;
  if (stopping.patience > 0 && stopping.restore_best) {
    const auto best = checkpoints_.load_best(state_.stage, setup_.identity, group_);
    if (best) {
      weights = best->part("model");
      if (stage.ema) weights = overlaid(weights, best->part("ema"));
    }
  }
  if (stage.options->reestimate_batch_norm) weights = with_gathered_statistics(stage, weights);
  Checkpoint next;
  next.state.identity = state_.identity;
  next.state.stage = state_.stage + 1;
  next.state.chain_steps = state_.chain_steps;
  next.state.roll_backs = state_.roll_backs;
  next.state.stopped_early = state_.stopped_early || state_.epoch < stage.plan->epochs;
  // Copies: the network and the averages go with the stage.
  for (const auto& [name, tensor] : weights)
    next.tensors.emplace_back("model." + name, tensor.detach().cpu().clone());
  if (learning_) add_part(next.tensors, "learning", learning_->state());
  on_first_rank(group_, [&] {
    keep_snapshot(stage, weights, true);
    checkpoints_.finish_stage(next);
  });
  state_ = next.state;
  resumed_ = std::move(next);
}

}  // namespace baleen
