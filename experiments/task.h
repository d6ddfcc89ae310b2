#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/losses/registry.h"
#include "core/nn/backbone.h"
#include "core/training/batch_source.h"
#include "data/folds.h"
#include "data/loader.h"
#include "data/packed_dataset.h"
#include "experiments/chain_learning.h"
#include "experiments/recipe.h"

namespace baleen {

/// What a task may know of a chain.
struct ChainFacts {
  std::string name;
  int64_t num_epochs = 1;  ///< of all stages, as planned
  uint64_t seed = 0;       ///< of all draws that belong to no stage
  std::vector<int64_t> training_rows;
  std::vector<std::vector<PairNoise>> pair_noise;  ///< of each stage
  int64_t logical_shards = 1;
  int64_t threads = 1;  ///< of a rank
};

/// What a recipe says of a backbone's chains; name and seed are left to the caller.
ChainFacts chain_facts(const Recipe& recipe, int64_t backbone, std::vector<int64_t> training_rows);

/// What a run learns: how many outputs its networks have, what each batch's targets are, and how
/// predictions are judged. Used from any thread.
class Task {
 public:
  virtual ~Task() = default;
  virtual int64_t num_outputs() const = 0;      ///< K, columns of predictions
  virtual LossTargets targets() const = 0;      ///< what the loss must learn from
  virtual const char* name() const = 0;         ///< "labels", "classes", "boxes"
  virtual const char* main_metric() const = 0;  ///< one of metrics(); larger is better
  /// Outputs of the network that adapt() is given: K as a rule.
  virtual int64_t num_network_outputs() const { return num_outputs(); }
  /// The network that is trained and predicts with K outputs: as a rule the given one.
  virtual std::shared_ptr<Backbone> adapt(std::shared_ptr<Backbone> network) const {
    return network;
  }
  /// Whether anything is learnt from a row of the training table, where its fold allows it.
  virtual bool trains_on(int64_t /*row*/) const { return true; }
  /// Looks at the folds before anything is trained. @throws Error kData naming sample and fold.
  virtual void check_folds(const FoldAssignment& /*folds*/) const {}
  /// Keys of metrics().
  virtual std::vector<std::string> metric_names() const { return {"loss", main_metric()}; }
  /// Digest of targets that are not the dataset's own; empty: there are none.
  virtual std::string digest() const { return ""; }
  /// The source with this task's targets in its batches.
  virtual std::unique_ptr<BatchSource> with_targets(std::unique_ptr<BatchSource> source,
                                                    const TrainingFeedOptions& feed) const = 0;
  /// "loss" and others of predictions for rows of the training data.
  virtual std::map<std::string, double> metrics(const at::Tensor& predictions_NK,
                                                const std::vector<int64_t>& rows,
                                                const ImageFeedOptions& image) const = 0;
  /// What predictions mean, and what is minimised where learning() has no objective.
  /// @throws Error kConfiguration when the recipe's loss does not fit these targets.
  virtual std::unique_ptr<Loss> make_loss(const LossRegistry& registry,
                                          const LossOptions& options) const;
  /// Images that an epoch of a chain shows, where it isn't each training image once.
  virtual std::optional<int64_t> epoch_images(const std::vector<int64_t>& /*training_rows*/) const {
    return std::nullopt;
  }
  /// The dataset as folds should see it: by default as it is.
  virtual FoldSubject fold_subject(FoldSubject subject, const FoldOptions& /*options*/) const {
    return subject;
  }
  /// What is special about training one of its chains; by default nothing: null.
  virtual std::unique_ptr<ChainLearning> learning(const ChainFacts& /*chain*/) const {
    return nullptr;
  }
};

/// For tables and masks that refer to images of before they were packed.
/// @throws Error kConfiguration when the dataset holds parts of its images, or copies.
void check_whole_images(const std::filesystem::path& dataset);

/// The recipe's task on its training data.
/// @param table what is trained on: the dataset's rows under their numbers, then extra ones
/// @throws Error kData when a table of targets is malformed or lacks images, kConfiguration when
/// the images were packed in a way that the task can't do with.
std::shared_ptr<const Task> make_task(const Recipe& recipe,
                                      std::shared_ptr<const PackedDataset> dataset,
                                      std::shared_ptr<const SampleTable> table);

}  // namespace baleen
