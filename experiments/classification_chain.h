#pragma once

#include <memory>
#include <vector>

#include "data/folds.h"
#include "data/packed_dataset.h"
#include "experiments/chain_executor.h"
#include "experiments/extensions.h"
#include "experiments/plan.h"
#include "experiments/recipe.h"
#include "experiments/replica_check.h"
#include "experiments/run_directory.h"
#include "experiments/snapshots.h"
#include "experiments/task.h"
#include "experiments/training_data.h"

namespace baleen {

/// What all chains of a run share; outlives the executor.
struct ChainContext {
  const Recipe* recipe = nullptr;
  const Extensions* extensions = nullptr;
  const Task* task = nullptr;
  std::shared_ptr<const PackedDataset> dataset;
  std::shared_ptr<const PackedDataset> test;  ///< null without a test set
  const TrainingData* training = nullptr;
  const FoldAssignment* folds = nullptr;
  RunDirectory directory{""};
  std::string plan_hash;
  /// For the watchdog: what this rank does, and how long it may take (0: any); may be empty.
  std::function<void(const std::string&, double limit_s)> set_activity;
  RankName self;
};

/// Names of the files in a chain's directory.
struct ChainFiles {
  explicit ChainFiles(std::filesystem::path chain_directory)
      : directory(std::move(chain_directory)) {}
  std::filesystem::path directory;
  std::filesystem::path weights() const { return directory / "weights.safetensors"; }
  std::filesystem::path held_out() const {
    return directory / "oof.h5";
  }  ///< PredictionTable of the held-out fold
  std::filesystem::path test() const {
    return directory / "test.h5";
  }  ///< PredictionTable of the test set
  std::filesystem::path metrics() const { return directory / "metrics.jsonl"; }
  /// One snapshot's part of held_out() or test(), where it is a column of its own:
  /// "oof-snapshot1.h5".
  std::filesystem::path of_snapshot(const std::filesystem::path& table,
                                    const SnapshotMoment& moment) const {
    return directory / (table.stem().string() + "-" + snapshot_name(moment) + ".h5");
  }
};

/// Trains one backbone on one fold, stage after stage (progressive resolution: weights carried
/// over, optimizer reset), then predicts the held-out fold and the test set with test-time
/// augmentation.
///
/// Resumes from the chain's newest checkpoint, in the middle of an epoch too, to the same bits on
/// any number of ranks up to the recipe's logical shards.
class ClassificationChains final : public ChainExecutor {
 public:
  explicit ClassificationChains(ChainContext context) : context_(std::move(context)) {}
  ChainOutcome run(const ChainSpec& chain, Communicator& group, ProgressSink& sink) override;

 private:
  ChainContext context_;
};

}  // namespace baleen
