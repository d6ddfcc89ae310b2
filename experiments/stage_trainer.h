#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/losses/loss.h"
#include "core/nn/backbone.h"
#include "core/training/checkpoint.h"
#include "data/loader.h"
#include "data/packed_dataset.h"
#include "experiments/chain_checkpoints.h"
#include "experiments/chain_executor.h"
#include "experiments/chain_learning.h"
#include "experiments/chain_predictions.h"
#include "experiments/classification_chain.h"
#include "experiments/plan.h"
#include "experiments/recipe.h"
#include "experiments/records/metrics_log.h"
#include "experiments/records/tensorboard_writer.h"
#include "experiments/replica_check.h"
#include "experiments/snapshots.h"
#include "experiments/task.h"

namespace baleen {

/// Trains the stages of one chain on a group of ranks: from its newest checkpoint, or from the
/// start.
///
/// At the start of a stage the weights are carried over and everything else is fresh: optimizer,
/// schedule, averaged weights, early stopping. Every draw depends on (chain seed, stage, epoch,
/// step) only.
class StageTrainer {
 public:
  struct Setup {
    const Recipe* recipe = nullptr;
    const Extensions* extensions = nullptr;
    const ChainSpec* chain = nullptr;
    const Task* task = nullptr;
    /// What is trained on: the dataset's rows, then extra ones.
    std::shared_ptr<const SampleTable> table;
    std::vector<int64_t> training_rows;
    std::vector<int64_t> held_out_rows;
    ChainFiles files;
    std::filesystem::path tensorboard;
    std::string run_name;
    std::string identity;                   ///< checkpoints with another one are refused
    std::vector<SnapshotMoment> snapshots;  ///< whose weights are kept
    /// What a snapshot taken at this size says of itself.
    std::function<std::map<std::string, std::string>(const ImageFeedOptions&)> metadata;
    /// What this rank does now, and how long that may take (0: any); for the watchdog.
    std::function<void(const std::string&, double limit_s)> say;
    RankName self;
  };

  /// [collective] Loads the newest checkpoint. References outlive the trainer.
  StageTrainer(Setup setup, Communicator& group, ProgressSink& sink);

  /// How train() left the chain. But for kDone, what is done is safe on disk, and there is no
  /// network.
  enum class Ending {
    kDone,
    kHandedBack,  ///< the coordinator wants it back between two stages
    kPaused,      ///< ProgressSink::until_epoch() is reached: pause_metrics() tell how it stands
  };

  /// [collective] Trains what is left.
  /// @throws Error kInterrupted on all ranks, with a checkpoint written.
  Ending train();

  Backbone& network() { return *network_; }
  const Loss& loss() const { return *loss_; }  ///< of the stage at hand, at the end of the last
  int64_t chain_steps() const { return state_.chain_steps; }
  bool stopped_early() const { return state_.stopped_early; }
  /// On the held-out fold, after the epoch at which the chain was paused.
  const std::map<std::string, double>& pause_metrics() const { return metrics_of_epoch_; }
  at::Device device() const { return device_; }
  int64_t num_outputs() const;  ///< of network()
  /// [collective] Metrics of the held-out fold's predictions by network().
  std::map<std::string, double> judge(const at::Tensor& predictions_NK,
                                      const ImageFeedOptions& image);
  /// How images enter the network, at this size.
  ImageFeedOptions image_options(int64_t size_px) const;

 private:
  struct Stage;
  enum class StageEnding {
    kDone,
    kRolledBack,  ///< back at the start of an epoch, with another learning rate: train it again
    kPaused,
  };

  bool first_rank() const { return group_.rank() == 0; }
  uint64_t seed_for(int64_t stage) const;
  void make_network(int64_t stage);
  void load(const Checkpoint& checkpoint);
  StageEnding train_stage();
  void pause(Stage& stage);
  void begin_epoch(const Stage& stage);
  at::Tensor training_features(const Stage& stage);
  PredictionJob prediction_job(int64_t size_px) const;
  bool settle_due() const;
  bool train_epoch(Stage& stage);
  void end_epoch(Stage& stage, double seconds);
  std::map<std::string, double> validate(Stage& stage);
  void finish_stage(Stage& stage);
  TrainingFeedOptions training_feed(const Stage& stage) const;
  void keep_snapshot(const Stage& stage, const NamedTensors& weights, bool stage_ends) const;
  NamedTensors with_gathered_statistics(const Stage& stage, const NamedTensors& weights);
  Checkpoint checkpoint(const Stage& stage) const;
  void enter_phase(const Stage& stage, const char* phase);
  void tell_progress(const Stage& stage, const char* phase);
  std::vector<double> member_times(const StepReport& report) const;
  void remember_epoch_start(const Stage& stage);
  void roll_back(Stage& stage, const Error& cause);
  void compare_replicas(Stage& stage, bool with_buffers);
  void throw_if_stopping(const Stage& stage);
  [[noreturn]] void save_and_stop(const Stage& stage);

  Setup setup_;
  Communicator& group_;
  ProgressSink& sink_;
  at::Device device_;
  Normalisation normalisation_;
  std::shared_ptr<Backbone> network_;
  std::unique_ptr<Loss> loss_;
  std::unique_ptr<ChainLearning> learning_;  ///< null: nothing special
  std::vector<double> sampling_weights_;     ///< of the training rows; empty: all are shuffled
  ChainCheckpoints checkpoints_;
  TrainingState state_;
  std::map<std::string, double> metrics_of_epoch_;  ///< the last one, if this start has trained it
  std::optional<Checkpoint> resumed_;               ///< until its tensors are loaded
  std::optional<MetricsLog> metrics_;
  std::optional<TensorBoardWriter> tensorboard_;
};

}  // namespace baleen
