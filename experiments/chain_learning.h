#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/nn/backbone.h"
#include "core/optim/optimizer.h"
#include "core/training/batch_objective.h"
#include "core/weights/named_tensors.h"
#include "data/loader.h"
#include "distributed/communicator.h"

namespace baleen {

/// Where a stage begins.
struct StageStart {
  int64_t index = 0;          ///< from 0
  int64_t epochs = 0;         ///< as planned
  int64_t epochs_before = 0;  ///< of the chain's earlier stages, as planned
  int64_t steps_per_epoch = 0;
  int64_t batch = 0;
  uint64_t seed = 0;
};

/// What can be asked for at the beginning of an epoch.
struct EpochStart {
  int64_t epoch = 0;  ///< in the stage
  /// [collective] What the network's head sees of every training image, at unit length, [N, F]
  /// float32 on the CPU of every rank, in the order of the training rows.
  std::function<at::Tensor()> features;
  /// [collective] The network's predictions for some of them, likewise, [rows, K].
  std::function<at::Tensor(const std::vector<int64_t>& rows)> outputs;
  std::function<bool()> stop;  ///< a signal arrived on this rank: agree before heeding it
};

/// Held-out images and what the network as it stands makes of them.
struct HeldOut {
  at::Tensor predictions_NK;
  std::vector<int64_t> rows;
  std::function<bool()> stop;  ///< as EpochStart::stop
};

/// What a task adds to the training of one chain, where batches, loss or network are not the usual
/// ones. One instance per chain and rank; calls come from one thread. All is a function of chain,
/// position and state(), never of the ranks.
class ChainLearning {
 public:
  virtual ~ChainLearning() = default;
  /// Before published weights are loaded into a fresh network.
  virtual void initialise(Backbone& network) = 0;
  /// The network that is trained: the given one, and the objective's own parameters. Draws fresh
  /// ones from LibTorch's default CPU generator.
  virtual std::shared_ptr<Backbone> adapt(std::shared_ptr<Backbone> network) = 0;
  /// Gives the objective's parameters their own learning rate.
  virtual std::vector<ParameterGroup> regrouped(std::vector<ParameterGroup> groups) const = 0;
  /// The optimizer of the stage that began last, with its state, on the adapted network.
  virtual void take_optimizer(Backbone& /*network*/, const Optimizer& /*optimizer*/) {}
  /// What is minimised, until the next adapt(); null: the recipe's loss.
  virtual BatchObjective* objective() = 0;
  virtual void begin_stage(const StageStart& start) = 0;
  /// Batches of the stage that began last. The feed is used no longer than this lives.
  virtual void choose_batches(TrainingFeedOptions& feed) = 0;
  /// [collective] Before the first step of an epoch; not where an epoch is resumed half-way.
  virtual void begin_epoch(const EpochStart& start, Communicator& group) = 0;
  /// Outputs of the adapted network; 0: as many as the task has.
  virtual int64_t num_outputs() const { return 0; }
  /// [collective] The metrics of held-out images, where they need the network: with the adapted
  /// network's weights as they are; nothing: the task judges predictions by themselves.
  /// @throws Error kInterrupted on all ranks.
  virtual std::optional<std::map<std::string, double>> judge(const HeldOut& /*images*/,
                                                             Communicator& /*group*/) {
    return std::nullopt;
  }
  /// Part of checkpoints, and handed on from stage to stage.
  virtual NamedTensors state() const = 0;
  /// @throws Error kData when it is not of such a chain.
  virtual void load(const NamedTensors& state) = 0;
};

}  // namespace baleen
