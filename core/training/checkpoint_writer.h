#pragma once

#include <chrono>
#include <future>
#include <optional>

#include "core/training/checkpoint.h"

namespace baleen {

/// A checkpoint whose tensors are copies in main memory: training may go on while it is written.
Checkpoint copy_of(const Checkpoint& checkpoint);

/// Writes checkpoints on a thread of its own, one at a time, and decides when one is due.
///
/// What the last one took of training (copying, waiting for the one before it, and the writing
/// thread's processor time, not its waits for the disk) and the copies that were kept since must be
/// no more than a given share of the time since: 20 ms at a share of 1 % make the next one due 2 s
/// later. A slow disk is left alone for the most of the time all the same. Used from one thread.
class CheckpointWriter {
 public:
  /// @param store outlives the writer
  /// @param share largest part of the time that checkpoints may take, in (0, 1]
  CheckpointWriter(CheckpointStore& store, double share);
  /// Waits for what is being written. An error that nobody has heard of is logged.
  ~CheckpointWriter();
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  /// Whether the time since the last checkpoint has earned the next one. Before the first one:
  /// after kFirst_s. @throws what writing the last one threw.
  bool due();

  /// copy_of(), whose time counts.
  Checkpoint kept_copy(const Checkpoint& checkpoint);

  /// Seconds that the next one has to earn first; 0 before the first is written. Where copies alone
  /// take more than the share, they count up to kMostStretch times the rest: work must not go
  /// unsaved for good.
  double price_s() const;

  /// Whether a checkpoint was written, so that due() knows what one costs.
  bool knows_cost() const { return written_ || writing_.valid(); }

  /// Copies `latest` and begins to write it, after `best` and `start` where they are given. Waits
  /// for the write before this one.
  /// @param best copied already; kept as its stage's best epoch
  /// @param start copied already; kept as what its epoch began with
  /// @throws Error kStorage of the write before, or Error kInternal.
  void save(const Checkpoint& latest, std::optional<Checkpoint> best,
            std::optional<Checkpoint> start = std::nullopt);

  /// Returns once all is safe on disk. @throws what writing threw.
  void wait();

  static constexpr double kFirst_s = 5;
  static constexpr double kBusyDisk = 0.1;  ///< largest part of the time that is spent on writing
  static constexpr double kMostStretch = 10;

 private:
  using Clock = std::chrono::steady_clock;

  CheckpointStore& store_;
  double share_;
  struct Written {
    double elapsed_s = 0;
    double processor_s = 0;
  };
  std::future<Written> writing_;
  double blocked_s_ = 0;  ///< what the last save() took of the training's time
  double copied_s_ = 0;   ///< what kept_copy() took of it since
  std::optional<Written> written_;
  Clock::time_point last_ = Clock::now();
};

}  // namespace baleen
