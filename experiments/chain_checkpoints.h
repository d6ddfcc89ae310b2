#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "core/training/checkpoint.h"
#include "core/training/checkpoint_writer.h"
#include "distributed/communicator.h"
#include "experiments/recipe.h"

namespace baleen {

/// When a chain's checkpoints are written, and how: in the background while it trains, and at once
/// where something must be safe before it goes on.
///
/// Without `checkpoint_every_steps`, the next one is written as soon as its price is below
/// `checkpoint_share` of the time. A resume goes on from the newest; what came after is trained
/// again, to the same bits.
class ChainCheckpoints {
 public:
  using Make = std::function<Checkpoint()>;  ///< of the state as it is now

  ChainCheckpoints(std::filesystem::path directory, const TrainingSection& training);

  // [collective] As CheckpointStore's, chosen by the group's first rank: the others load that one
  // or fail, whatever their own view of the directory offers.
  std::optional<Checkpoint> load_latest(const std::string& identity, Communicator& group) const;
  std::optional<Checkpoint> load_best(int64_t stage, const std::string& identity,
                                      Communicator& group) const;

  /// Up to so many optimizer steps all ranks were seen to agree: a checkpoint of those stays.
  void trust(int64_t chain_steps) { store_.trust(chain_steps); }
  /// Drops what was written after so many optimizer steps of the chain, as it can't be trusted.
  int64_t remove_after(int64_t chain_steps);

  // The group's first rank. All throw Error kStorage, also that of a write before.
  /// @param chain_steps optimizer steps of the chain
  void after_step(int64_t chain_steps, const Make& make);
  /// @param best keep this epoch as the stage's best
  void after_epoch(bool best, const Make& make);
  /// Remembers what an epoch begins with, to roll back to: in memory, and on disk before the first
  /// checkpoint within the epoch.
  void keep_epoch_start(const Checkpoint& start);
  /// The same for an epoch that is resumed half-way.
  void find_epoch_start(int64_t stage, int64_t epoch, const std::string& identity);
  /// Makes the epoch's start the newest checkpoint, with its learning rate lowered once more.
  /// @throws Error kData when that start is not known.
  void roll_back(double lr_factor);
  /// Returns once it is safe: before the chain is left.
  void save_now(const Make& make);
  /// Returns once the stage's best epoch is safe, if one is kept.
  void finish_best();
  /// Returns once the beginning of the next stage is safe.
  void finish_stage(const Checkpoint& next);

 private:
  void save(const Make& make);

  CheckpointStore store_;
  CheckpointWriter writer_;
  int64_t every_steps_;
  std::optional<Checkpoint> best_;   ///< copied, not on disk yet
  std::optional<Checkpoint> start_;  ///< of the epoch; copied
  bool start_on_disk_ = false;
};

}  // namespace baleen
