#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
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
#include "core/training/late_numbers.h"
#include "core/training/precision.h"
#include "core/training/step_graphs.h"

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
  double loss = 0;   ///< of the global batch; read late: of the newest step that has been read
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
  int64_t unread_steps =
      0;  ///< of those done: their losses are still on the device. No checkpoint
          ///< is sound before they are read, and 0 wherever losses are read at once

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
///
/// On a device that works behind the host's back losses and gradient norms are read kLossLag steps
/// late (Parts::late), so that the host never waits for it. What a step computes is the same; a
/// loss or norm that is not finite is seen that many steps later, and the error names the step in
/// which it arose. Not where the host needs a step's numbers to go on: with losses over whole
/// batches, batch norm over all shards, a loss scale, and OnNonFinite::kSkip, which must know
/// before it updates.
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
    /// Reads losses late; room for kLossLag + 1 sends. Null: each step's loss is read at once.
    LateNumbers* late = nullptr;
    /// Where losses are read late: whether the step that is under way ends with all of them read,
    /// for a checkpoint, say. The same answer on all ranks. Empty: only the epoch's last one does.
    std::function<bool()> settle_due = {};
    /// Records forward and backward passes (StepGraphs). Empty: they are launched one by one.
    RecordedWorkFactory record = {};
  };
  static constexpr size_t kLossLag = 2;  ///< steps
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

  /// Null where passes are not recorded.
  const StepGraphs* graphs() const { return graphs_.get(); }
  bool reads_late() const { return parts_.late != nullptr; }

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

  /// A step that is done, but for the reading of its numbers.
  struct UnreadStep {
    StepReport report;
    std::vector<int64_t> local_shards;  ///< of each loss
    bool has_norm = false;              ///< it comes after the losses
  };

  std::string needs_numbers_at_once() const;
  void choose_modes();
  std::vector<Batch> collect_step(BatchSource& source);
  void seed_dropout(const Batch& batch, int64_t epoch, int64_t micro) const;
  TrainingLogits logits_of(const at::Tensor& images_NCHW, bool moves_statistics);
  TrainingLogits forward(const Batch& batch, int64_t epoch, int64_t micro);
  std::vector<at::Tensor> backward_shards(const std::vector<Batch>& batches, int64_t epoch);
  at::Tensor backward_recorded(const Batch& batch, int64_t epoch, int64_t micro);
  StepSums backward(const std::vector<Batch>& batches, int64_t epoch, bool stop);
  StepSums backward_plain(const std::vector<Batch>& batches, int64_t epoch, bool stop);
  StepSums backward_with_statistics(const std::vector<Batch>& batches, int64_t epoch, bool stop);
  StepSums backward_gathered(const std::vector<Batch>& batches, int64_t epoch, bool stop);
  StepSums backward_synchronised(const std::vector<Batch>& batches, int64_t epoch, bool stop);
  StepSums step_at_once(const std::vector<Batch>& batches, bool stop, StepReport& report,
                        EpochProgress& progress);
  StepSums step_late(const std::vector<Batch>& batches, bool stop, StepReport& report,
                     EpochProgress& progress);
  StepSums read_oldest(bool stop, EpochProgress& progress);
  void read_all(EpochProgress& progress);
  void forget_unread(EpochProgress& progress);
  StepSums gather(const at::Tensor& local_rows, bool stop);
  void fill_own_columns(const at::Tensor& local_rows, bool stop) const;
  void note_computed();
  void keep_buffers();
  void restore_buffers();
  at::Tensor clip();
  bool finite_gradient(StepReport& report);
  void handle_non_finite(StepReport& report, EpochProgress& progress);
  at::Tensor to_device(const at::Tensor& tensor) const;
  at::Tensor scaled(const at::Tensor& loss) const;
  bool update(double lr, StepReport& report);
  void apply(double lr);
  void add_loss(const StepReport& report, EpochProgress& progress) const;

  Parts parts_;
  TrainerOptions options_;
  at::Device device_;
  int64_t skipped_in_a_row_ = 0;
  Clock::time_point step_start_;
  double waited_s_ = 0;   ///< for the others, in this step, before the backward pass
  double compute_s_ = 0;  ///< of the last step measured
  std::vector<at::Tensor> buffers_, kept_buffers_;
  std::deque<UnreadStep> unread_;
  double newest_loss_ = 0;  ///< of those that were read late
  std::unique_ptr<StepGraphs> graphs_;
  std::vector<at::Tensor> trainable_, shard_gradients_;  ///< for recorded passes
};

}  // namespace baleen
