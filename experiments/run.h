#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "data/folds.h"
#include "data/packed_dataset.h"
#include "distributed/communicator.h"
#include "experiments/extensions.h"
#include "experiments/plan.h"
#include "experiments/recipe.h"
#include "experiments/run_directory.h"
#include "experiments/task.h"
#include "experiments/training_data.h"

namespace baleen {

struct PreparedSweep;

/// A model that lacks folds, since chains of it were set aside.
struct IncompleteModel {
  std::string name;
  std::vector<std::string> chains;  ///< that are not finished
};

/// A recipe with its data opened and everything worked out; nothing has been written.
struct PreparedRun {
  Recipe recipe;
  std::shared_ptr<const PackedDataset> dataset;
  std::shared_ptr<const PackedDataset> test;  ///< null without a test set
  TrainingData training;                      ///< what is trained on beside the dataset
  std::shared_ptr<const Task> task;
  FoldSubject subject;
  FoldAssignment folds;
  Plan plan;
  /// Of the part of a run that can be gathered (complete_part()): models that `plan` is without.
  std::vector<IncompleteModel> left_out;
  /// Of a recipe with a sweep, whose `plan` holds the chains of all trials; null: an ordinary run.
  /// The rest is then as the first trial sees it.
  std::shared_ptr<const PreparedSweep> sweep;
};

/// Opens the data, divides the folds, makes the plan.
/// @param extensions null: nobody asks whether the loss fits the data, for runs that are only
/// looked at
/// @param stage copies the data to `training.stage_to` first, where the recipe says so
/// @throws Error kConfiguration, kData, kStorage.
PreparedRun prepare_run(const Recipe& recipe, const Extensions* extensions, bool stage = false);

/// The first half of prepare_run(): data, task and folds, which trials of a sweep share.
PreparedRun open_run_data(const Recipe& recipe, bool stage);

/// Digests of files by path, each read once.
using FileDigests = std::map<std::string, std::string>;

/// The second half: checks the recipe against the data, and makes its plan.
/// @param recipe agrees with `run` in what open_run_data() looks at
void plan_run(PreparedRun& run, const Recipe& recipe, const Extensions* extensions,
              FileDigests& digests);

struct RunRequest {
  Recipe recipe;
  Resume resume;
  double wait_s = 0;                     ///< for a job that holds the run directory
  std::string command_line;              ///< for env.json
  std::function<bool()> stop_requested;  ///< a signal arrived on this process; may be empty
  /// Called once the run directory is there and this rank's log file has a place.
  std::function<void(const RunDirectory&)> directory_opened;
};

/// [collective over the world] The main job: trains every chain of the recipe, assembles the
/// out-of-fold predictions, stacks them, and writes the report. The same call goes on after any
/// interruption; a complete run is only reported. Where chains were set aside, this is done for the
/// models, or the trials of a sweep, that have all of theirs, and the exit code tells.
/// @returns the exit code (docs/exit-codes.md)
/// @throws Error, PeerFailed
int run_recipe(const RunRequest& request, const Extensions& extensions, MpiEnvironment& mpi);

}  // namespace baleen
