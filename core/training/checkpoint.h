#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/optim/loss_scaler.h"
#include "core/optim/schedule.h"
#include "core/training/early_stopping.h"
#include "core/training/trainer.h"
#include "core/weights/safetensors.h"

namespace baleen {

/// Where a chain's training stands, all but the tensors. Every random draw is a function of seed
/// and position, so that no generator state belongs here.
struct TrainingState {
  std::string identity;  ///< digest of what the chain is: a checkpoint of another recipe is refused
  int64_t stage = 0;
  int64_t epoch = 0;            ///< in the stage; the next to train, or the one that is half done
  EpochProgress progress;       ///< of that epoch
  int64_t optimizer_steps = 0;  ///< of the stage, for Optimizer::load
  int64_t chain_steps = 0;      ///< optimizer steps executed over all stages
  bool stage_complete = false;
  bool stopped_early = false;  ///< in any stage so far
  double lr_factor = 1;        ///< on the schedule's rate, after roll-backs in this stage
  int64_t roll_backs = 0;      ///< in all stages so far
  ScheduleState schedule;
  LossScalerState scaler;
  int64_t ema_updates = 0;  ///< for Ema::load
  BestEpoch best;
};

template <class Visitor>
void visit_fields(Visitor& v, EpochProgress& p) {
  v.field("next_step", p.next_step, "first step that is not done");
  v.field("loss_sum", p.loss_sum, "sum over steps of loss × samples");
  v.field("samples", p.samples, "samples seen in the epoch");
  v.field("skipped_steps", p.skipped_steps, "steps that changed nothing");
}

template <class Visitor>
void visit_fields(Visitor& v, TrainingState& s) {
  v.field("identity", s.identity, "digest of what the chain is");
  v.field("stage", s.stage, "stage");
  v.field("epoch", s.epoch, "epoch in the stage");
  v.field("progress", s.progress, "of that epoch");
  v.field("optimizer_steps", s.optimizer_steps, "steps of the optimizer's state");
  v.field("chain_steps", s.chain_steps, "optimizer steps over all stages");
  v.field("stage_complete", s.stage_complete, "the stage's last epoch is done");
  v.field("stopped_early", s.stopped_early, "some stage ended by early stopping");
  v.field("lr_factor", s.lr_factor, "on the learning rate, after roll-backs");
  v.field("roll_backs", s.roll_backs, "times that training went back to an epoch's start");
  v.field("schedule", s.schedule, "learning rate schedule");
  v.field("scaler", s.scaler, "loss scale");
  v.field("ema_updates", s.ema_updates, "updates of the averaged weights");
  v.field("best", s.best, "best epoch of the stage");
}

struct Checkpoint {
  TrainingState state;
  NamedTensors tensors;  ///< "model.…", "optimizer.…", "ema.…"
  std::string record;    ///< of one that was read: its JSON, for CheckpointStore::load

  /// The tensors whose name starts with `prefix` and a dot, without it.
  NamedTensors part(const std::string& prefix) const;
};

/// The checkpoints of one chain, in one directory.
///
/// A checkpoint is two files: `NAME.safetensors`, then `NAME.json` with the state and the first
/// file's name and digest. Each is written to a temporary name, synced and renamed, the JSON last:
/// what has a JSON file is whole. One that replaces another puts its tensors beside the old ones,
/// under `NAME.2.safetensors` and `NAME.safetensors` in turn, so that the record's rename is the
/// instant at which old becomes new. A crash or a failed write at any instant leaves the earlier
/// checkpoints as they were.
class CheckpointStore {
 public:
  /// @param keep_last how many of the newest are kept, at least 1
  CheckpointStore(std::filesystem::path directory, int64_t keep_last);

  /// Removes what comes after it in the order of training: load_latest() has passed that over.
  /// @throws Error kStorage naming the file; earlier checkpoints stay as they are.
  void save(const Checkpoint& checkpoint);

  /// Keeps it as its stage's best epoch, instead of the one before. @throws as save().
  void save_best(const Checkpoint& checkpoint);

  /// Keeps what its epoch began with, to roll back to; dropped when no checkpoint of that epoch or
  /// an earlier one is left. @throws as save().
  void save_start(const Checkpoint& checkpoint);

  /// What an epoch began with, if it was kept and is whole; a damaged one is reported by a warning.
  /// @throws Error kStorage when it can't be read.
  std::optional<Checkpoint> load_start(int64_t stage, int64_t epoch,
                                       const std::string& identity) const;

  /// Up to so many optimizer steps all is known to be right: the newest checkpoint of those is kept
  /// beside the last ones. Any thread.
  void trust(int64_t chain_steps) { trusted_steps_ = chain_steps; }

  /// Removes all checkpoints and kept epochs with more optimizer steps than that, as they can't be
  /// trusted; returns how many.
  int64_t remove_after(int64_t chain_steps);

  /// The newest that is whole; a damaged one is reported by a warning and the one before it is
  /// taken.
  /// @throws Error kData when the newest belongs to another recipe than `identity`; kStorage when
  /// one can't be read, as it may be whole.
  std::optional<Checkpoint> load_latest(const std::string& identity) const;

  /// The best epoch of a stage, if one was kept.
  /// @throws Error kData when it is damaged: another epoch's weights would be another result.
  std::optional<Checkpoint> load_best(int64_t stage, const std::string& identity) const;

  /// Exactly the one with this record, which another rank has read and checked; the directory need
  /// not list it. @throws Error kData when its tensors are missing or are others.
  Checkpoint load(const std::string& record) const;

  /// Problems found in any of the files, for `baleen verify`; empty: all is well.
  static std::vector<std::string> verify(const std::filesystem::path& directory);

  /// Removes all but what a finished chain is worth keeping: nothing of the running state.
  void remove_all();

 private:
  void write(const std::string& name, const Checkpoint& checkpoint) const;
  std::vector<std::string> names() const;  ///< newest first
  /// Of all records whose name begins so, descending.
  std::vector<std::string> stems(const std::string& prefix) const;
  void prune() const;

  std::filesystem::path directory_;
  int64_t keep_last_;
  std::atomic<int64_t> trusted_steps_{-1};  ///< below 0: nobody says
};

}  // namespace baleen
