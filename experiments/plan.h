#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "experiments/plan_cost.h"

namespace baleen {

struct JournalState;
struct Recipe;
class Communicator;

/// One resolution of one chain, with all counts worked out.
struct StagePlan {
  int64_t index = 0;            ///< from 0
  int64_t size_px = 0;          ///< side of the square input
  int64_t epochs = 0;           ///< planned; early stopping may end the stage before
  int64_t batch = 0;            ///< samples of a global batch, over all logical shards
  int64_t steps_per_epoch = 0;  ///< floor(images / batch): the last partial batch is dropped
  double sample_gmac = 0;       ///< forward pass of one image
  double cost = 0;              ///< training and validation in GMAC, for whole batches

  int64_t steps() const { return epochs * steps_per_epoch; }
};

/// A chain: one backbone trained on one fold's training rows with one seed, stage after stage.
struct ChainSpec {
  int64_t index = 0;           ///< position in Plan::chains
  std::string name;            ///< unique, usable as a folder name: "resnet18-f2-s1"
  int64_t backbone = 0;        ///< index into Recipe::backbones
  std::string backbone_label;  ///< its label: chains of one label share measured costs
  int64_t fold = 0;
  int64_t seed = 1;
  int64_t train_rows = 0;    ///< rows it learns from
  int64_t epoch_images = 0;  ///< that an epoch shows: each row once, unless the task says otherwise
  int64_t held_out_rows = 0;   ///< rows it predicts out of fold
  int64_t logical_shards = 1;  ///< V: the largest group that can help
  int64_t min_ranks = 1;       ///< the least group that holds it in memory, where there are so many
  int64_t priority = 0;        ///< chains with a greater one start first
  double dropout = 0;          ///< of the backbone, where a stage does not say otherwise
  std::string weights;         ///< file the trunk starts from; empty: fresh
  std::vector<StagePlan> stages;
  double predict_cost = 0;  ///< of held-out fold and test set after the last stage, in GMAC
  double cost = 0;          ///< all of it, in GMAC, with what cutting batches into shards costs
  std::string pace;  ///< in a sweep, the values that its steps' times depend on: see pace_key()

  int64_t steps() const;
  /// `cost` if the chain had this many logical shards.
  double cost_with(int64_t num_shards) const { return cost_from(0, num_shards); }
  /// What is left of it before a stage, 0 ... S; S: prediction alone.
  double cost_from(int64_t stage, int64_t num_shards) const;
  /// The part of `cost` that is done, in [0, 1]: the first so many optimizer steps, of which those
  /// of a later stage cost more than those of an earlier one.
  /// @param predicted once training is over, which early stopping may bring about before the last
  /// step: share of the predictions that are made; < 0: it is not over
  double share_done(int64_t num_steps, double predicted = -1) const;
  /// Of all stages, as planned.
  int64_t epochs() const;
  /// Of the first so many stages.
  int64_t epochs_of_stages(int64_t num_stages) const;
  /// Cost of the epochs [first, last), counted over all stages, with V shards; with `last` = 0 all
  /// that is left, prediction included.
  double cost_of_epochs(int64_t first, int64_t last, int64_t num_shards) const;

 private:
  double cost_of(const StagePlan& stage, int64_t num_shards) const;
};

/// What the plan needs to know of the data. Gathered by the caller, so that planning itself reads
/// nothing.
struct DatasetFacts {
  std::string digest;                ///< PackedDataset::digest()
  std::string target;                ///< "classes" or "labels", for the printed plan
  int64_t num_samples = 0;           ///< N, without copies
  int64_t num_outputs = 0;           ///< K classes or labels
  int64_t channels = 3;              ///< C
  std::vector<int64_t> fold_sizes;   ///< held-out rows of each fold; their sum is N
  std::vector<int64_t> fold_copies;  ///< copies of each fold's rows, for training; empty: none
  /// Images that an epoch of each fold's chains shows; empty: their training rows, once each.
  std::vector<int64_t> epoch_images;
  std::string folds_digest;  ///< of the assignment row -> fold
  std::string test_digest;   ///< empty: no test set
  int64_t num_test = 0;
  std::vector<int64_t> fold_left_out;  ///< of each fold's rows, those never trained on; empty: none
  int64_t num_extra = 0;               ///< rows beside the dataset's that all folds are trained on
  std::string training_digest;  ///< of those, and of corrected labels; empty: there are neither
  std::string sampling_digest;  ///< of the weights of training images; empty: no file
  std::string targets_digest;   ///< of what is learnt beside the dataset's labels; empty: nothing
  std::map<std::string, std::string> weights_digests;  ///< backbone label -> digest of its file
};

/// Everything a run will do, before it does anything. A pure function of recipe and data: never of
/// the ranks at hand.
struct Plan {
  std::string name;
  std::string hash;         ///< names this very plan; equal on all ranks and on every resume
  std::string recipe_hash;  ///< of the keys that influence results
  std::map<std::string, std::string>
      identity;  ///< those keys, flattened: "stages.0.size_px" -> "20"
  DatasetFacts data;
  double regroup_gain_s = 5;  ///< see worth_regrouping(); not part of the hash
  std::vector<ChainSpec> chains;

  int64_t steps() const;
  double cost() const;
  /// @throws Error kInternal when there is no such chain.
  const ChainSpec& chain(const std::string& chain_name) const;
};

/// Expands recipe × data into chains: seeds, then folds, then backbones, so that a plan that was
/// cut short holds whole folds.
/// @throws Error kConfiguration when a fold has fewer training rows than a batch, or the loss does
/// not fit the targets.
Plan make_plan(const Recipe& recipe, const DatasetFacts& facts);

/// What a journal's finished chains say about the ranks' speed. Chains that were trained in several
/// starts are left out: their records hold the time of the last one only.
CostRates measured_rates(const Plan& plan, const JournalState& journal);

/// Epochs of a chain, over all stages, that no start need train again: those of its finished
/// stages, or up to its last pause. Checkpoints may hold more.
int64_t epochs_done(const ChainSpec& chain, const JournalState& journal);

/// One chain's place in a forecast; several where its group changes between stages.
struct ScheduledChain {
  int64_t chain = 0;
  int64_t first_stage = 0;
  std::vector<int> ranks;
  double start_s = 0;
  double end_s = 0;
};

/// What the scheduling policy would do with a plan on R ranks, on a simulated clock.
struct Forecast {
  int num_ranks = 1;
  bool measured =
      false;  ///< false: seconds rest on a guess of the ranks' speed; their ratios still hold
  double makespan_s = 0;
  double busy = 1;  ///< share of ranks × makespan spent in chains
  std::vector<ScheduledChain> chains;
};

/// @param finished names of chains that need not run again
/// @param logical_shards overrides every chain's V when > 0 ("what if")
Forecast forecast(const Plan& plan, int num_ranks, const CostRates& rates,
                  const std::vector<std::string>& finished = {}, int64_t logical_shards = 0);

/// The plan as a tree in the manner of EXPLAIN: data, chains with stages and steps, schedule on
/// `num_ranks`, and what other numbers of logical shards would gain or cost.
std::string print_plan(const Plan& plan, int num_ranks, const CostRates& rates,
                       const std::vector<std::string>& finished = {});

/// plan.json; format in experiments/README.md.
std::string plan_to_json(const Plan& plan);

/// One digest for a plan's identity, or a part of it.
std::string digest_of_identity(const std::map<std::string, std::string>& identity);

/// The identity part of a stored plan.json: what a resume is compared with.
struct StoredPlan {
  std::string hash;
  std::map<std::string, std::string>
      identity;  ///< recipe keys and, under "data.", the digests of the data
};
/// @throws Error kData naming the file when it can't be read or parsed.
StoredPlan read_stored_plan(const std::filesystem::path& file);
/// The same for a plan in memory.
StoredPlan stored_form(const Plan& plan);

/// [collective] Checks that every rank made the same plan: a recipe or dataset may differ between
/// hosts.
/// @throws Error kConfiguration on every rank, naming the ranks that differ from rank 0.
void agree_on_plan(const Plan& plan, Communicator& world);

}  // namespace baleen
