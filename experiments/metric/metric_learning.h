#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/packed_dataset.h"
#include "experiments/chain_learning.h"
#include "experiments/metric/divide_and_conquer.h"
#include "experiments/metric/metric_section.h"

namespace baleen {

/// Metric learning on one chain: losses over whole batches of embeddings, batches with several
/// images of each id, and divide and conquer where the recipe asks for it.
class MetricLearning final : public ChainLearning {
 public:
  struct Setup {
    MetricSection section;
    std::string chain;  ///< for the log
    int64_t num_epochs = 1;
    uint64_t seed = 0;  ///< of miners and clusterings
    std::vector<int64_t> training_rows;
    std::vector<int64_t> classes;  ///< of the training rows
    int64_t num_classes = 0;       ///< C of the dataset
    bool flips = false;            ///< targets C + c are mirror images of c, and other identities
    int64_t logical_shards = 1;
  };
  /// @throws Error kData when there is nothing to tell apart; kConfiguration.
  explicit MetricLearning(Setup setup);
  ~MetricLearning() override;

  void initialise(Backbone& network) override;
  std::shared_ptr<Backbone> adapt(std::shared_ptr<Backbone> network) override;
  std::vector<ParameterGroup> regrouped(std::vector<ParameterGroup> groups) const override;
  void take_optimizer(Backbone& network, const Optimizer& optimizer) override;
  BatchObjective* objective() override;
  void begin_stage(const StageStart& start) override { stage_ = start; }
  void choose_batches(TrainingFeedOptions& feed) override;
  void begin_epoch(const EpochStart& start, Communicator& group) override;
  NamedTensors state() const override;
  void load(const NamedTensors& state) override;

  const DivideAndConquer& division() const { return division_; }

 private:
  class Identified;

  void log(const DivideAndConquer::Report& report, int64_t chain_epoch) const;

  Setup setup_;
  std::vector<int64_t> identity_of_class_;  ///< of a target; -1: not in the training rows
  int64_t num_identities_ = 0;
  DivideAndConquer division_;
  std::unique_ptr<Identified> objective_;
  StageStart stage_;
};

}  // namespace baleen
