#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/losses/loss.h"
#include "core/nn/backbone.h"
#include "core/nn/batch_norm.h"
#include "core/optim/optimizer.h"
#include "core/optim/schedule.h"
#include "core/training/batch_objective.h"
#include "core/training/batch_source.h"
#include "core/training/gradient_reducer.h"
#include "core/training/precision.h"

namespace baleen {

class Ema;
class LossScaler;

/// What happens when the loss of a step is not finite on any rank. All ranks see the same loss and
/// decide alike.
enum class OnNonFinite {
  kStop,      ///< Error kNumeric
  kSkip,      ///< the step changes nothing; ten in a row stop all the same
  kRollBack,  ///< NonFiniteStep, for a caller that goes back and tries a lower learning rate
};

/// A step whose loss or gradient is not finite, under OnNonFinite::kRollBack. Thrown by all ranks
/// alike, after the step's last exchange: the group is in order.
class NonFiniteStep : public Error {
 public:
  using Error::Error;
};

struct TrainerOptions {
  Precision precision = Precision::kFloat32;
  double clip_norm = 0;  ///< largest 2-norm of the whole gradient; 0: no clipping
  OnNonFinite on_nonfinite = OnNonFinite::kStop;
  uint64_t seed = 0;     ///< of dropout masks
  double lr_factor = 1;  ///< on the schedule's learning rate
  BatchNormMode batch_norm = BatchNormMode::kLocal;
};

/// One optimizer step, the same on every rank.
struct StepReport {
  int64_t epoch = 0;
  int64_t step = 0;  ///< in the epoch
  double loss = 0;   ///< of the global batch
  double lr = 0;
  double gradient_norm = 0;  ///< before clipping; 0 without clipping
  int64_t samples = 0;       ///< in the global batch
  bool skipped = false;      ///< nothing was updated: not finite, or the loss scale overflowed
  /// What each rank needed for its own part of a step, without waiting for others, in seconds:
  /// indexed by logical shard, each with its rank's time per shard. Of this step or the one before;
  /// 0: not measured.
  std::vector<double> compute_s;
};

/// How far an epoch has come; part of a checkpoint, so that an epoch resumed half-way reports the
/// same mean loss.
struct EpochProgress {
  int64_t next_step = 0;
  double loss_sum = 0;  ///< Σ over steps of loss × samples
  int64_t samples = 0;
  int64_t skipped_steps = 0;

  double mean_loss() const { return samples ? loss_sum / static_cast<double>(samples) : 0.0; }
};

/// Runs optimizer steps: forward and backward of this rank's logical shards, reduction, clipping,
/// update.
///
/// A step's result is a function of the global batch and the number of logical shards, never of the
/// number of ranks: dropout is seeded per (epoch, step, shard, micro-batch), only shard 0 moves
/// batch-norm statistics (or all shards do together, BatchNormMode::kSync), gradients are added in
/// the reducer's fixed tree (docs/determinism.md). Where the network has an auxiliary classifier,
/// the loss of a step, backpropagated and reported, is loss(main) + weight · loss(auxiliary), each
/// over the whole global batch. Used from one thread.
class Trainer {
 public:
  struct Parts {
    Backbone* network = nullptr;
    const Loss* loss = nullptr;
    Optimizer* optimizer = nullptr;
    const Schedule* schedule = nullptr;
    GradientReducer* reducer = nullptr;
    Ema* ema = nullptr;            ///< may be null
    LossScaler* scaler = nullptr;  ///< for float16; may be null
    /// Instead of `loss`, what is minimised: a function of all outputs of a global batch at once,
    /// which are gathered over shards. May be null.
    BatchObjective* objective = nullptr;
    /// Whether this rank wants to stop: asked right before the step's exchange, so that a signal
    /// that arrives in a step ends training with that step. May be empty.
    std::function<bool()> stop_requested = {};
  };
  /// Called after each step on every rank. @returns whether this rank wants to stop after this
  /// step.
  using StepHook = std::function<bool(const StepReport&, const EpochProgress&)>;

  Trainer(Parts parts, const TrainerOptions& options);

  /// [collective] Trains from `progress.next_step` to the end of the epoch, or until the hook asks
  /// to stop on any rank: then all ranks return after the same step. Buffers are broadcast before
  /// it returns.
  /// @param first_step_of_epoch steps of the stage before this epoch, for the schedule
  /// @returns whether the epoch is complete
  /// @throws Error kNumeric naming epoch and step; what the source and the reducer throw.
  bool run_epoch(BatchSource& source, int64_t epoch, int64_t first_step_of_epoch,
                 EpochProgress& progress, const StepHook& after_step);

 private:
  // Columns of the table that the ranks exchange each step, one row per logical shard. For losses
  // with batch terms further columns follow: those of the main logits, then those of the auxiliary
  // ones.
  static constexpr int64_t kLossColumn = 0;
  static constexpr int64_t kStopColumn = 1;
  static constexpr int64_t kTimeColumn = 2;
  static constexpr int64_t kNumFixedColumns = 3;

  struct StepSums {
    double loss = 0;    ///< of the global batch
    bool stop = false;  ///< some rank asked for it
    std::vector<double> compute_s;
  };
  using Clock = std::chrono::steady_clock;

  std::vector<Batch> collect_step(BatchSource& source);
  TrainingLogits forward(const Batch& batch, int64_t epoch, int64_t micro);
  StepSums backward(const std::vector<Batch>& batches, int64_t epoch, bool stop);
  StepSums backward_plain(const std::vector<Batch>& batches, int64_t epoch, bool stop);
  StepSums backward_with_statistics(const std::vector<Batch>& batches, int64_t epoch, bool stop);
  StepSums backward_gathered(const std::vector<Batch>& batches, int64_t epoch, bool stop);
  StepSums backward_synchronised(const std::vector<Batch>& batches, int64_t epoch, bool stop);
  StepSums gather(const at::Tensor& local_rows, bool stop);
  void fill_own_columns(const at::Tensor& local_rows, bool stop) const;
  void note_computed();
  void keep_buffers();
  void restore_buffers();
  bool finite_gradient(StepReport& report);
  void handle_non_finite(StepReport& report, EpochProgress& progress);
  at::Tensor to_device(const at::Tensor& tensor) const;
  at::Tensor scaled(const at::Tensor& loss) const;
  bool update(double lr, StepReport& report);

  Parts parts_;
  TrainerOptions options_;
  at::Device device_;
  int64_t skipped_in_a_row_ = 0;
  Clock::time_point step_start_;
  double waited_s_ = 0;   ///< for the others, in this step, before the backward pass
  double compute_s_ = 0;  ///< of the last step measured
  std::vector<at::Tensor> buffers_, kept_buffers_;
};

}  // namespace baleen
