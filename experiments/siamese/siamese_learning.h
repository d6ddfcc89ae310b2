#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/losses/metric/pair_objective.h"
#include "core/nn/siamese_network.h"
#include "data/packed_dataset.h"
#include "data/sample_table.h"
#include "experiments/chain_learning.h"
#include "experiments/mining/pair_mining.h"
#include "experiments/siamese/siamese_section.h"

namespace baleen {

/// What is known of the images of some rows: their classes, and which of them show one picture
/// (copies made by the packer, and groups of near duplicates).
MiningImages mining_images(const SampleTable& table, const std::vector<int64_t>& rows);

/// A siamese network on one chain: pairs that are mined every few epochs with the network as it
/// stands, the loss over pairs, and retrieval by the head's scores as validation.
class SiameseLearning final : public ChainLearning {
 public:
  struct Setup {
    SiameseSection section;
    std::string chain;  ///< for the log
    uint64_t seed = 0;  ///< of mining and of the order of pairs
    int64_t threads = 1;
    std::vector<std::vector<PairNoise>> noise;     ///< of each stage
    std::shared_ptr<const PackedDataset> dataset;  ///< what is judged
    std::shared_ptr<const SampleTable> table;  ///< what is trained on: its rows, then extra ones
    std::vector<int64_t> training_rows;
  };
  /// @throws Error kData when there are no pairs of one, or of two individuals.
  explicit SiameseLearning(Setup setup);

  void initialise(Backbone& network) override;
  std::shared_ptr<Backbone> adapt(std::shared_ptr<Backbone> network) override;
  std::vector<ParameterGroup> regrouped(std::vector<ParameterGroup> groups) const override {
    return groups;
  }
  BatchObjective* objective() override { return objective_.get(); }
  void begin_stage(const StageStart& start) override { stage_ = start; }
  void choose_batches(TrainingFeedOptions& feed) override;
  void begin_epoch(const EpochStart& start, Communicator& group) override;
  int64_t num_outputs() const override { return num_features_; }
  std::optional<std::map<std::string, double>> judge(const HeldOut& images,
                                                     Communicator& group) override;
  NamedTensors state() const override;
  void load(const NamedTensors& state) override;

  /// Rows that can be in pairs.
  const std::vector<int64_t>& mined_rows() const { return mined_rows_; }

 private:
  void mine(const EpochStart& start, Communicator& group);
  const MinedList& list_of(int64_t chain_epoch) const;

  Setup setup_;
  std::vector<int64_t> mined_rows_;
  MiningImages images_;  ///< of the mined rows
  std::shared_ptr<SymmetricHead> head_;
  std::unique_ptr<PairObjective> objective_;
  int64_t num_features_ = 0;
  StageStart stage_;
  int64_t mined_at_ = 0;          ///< epoch of the chain for which the first list is
  std::vector<MinedList> lists_;  ///< empty before the first mining
};

}  // namespace baleen
