#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <compare>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/training/recorded_work.h"

namespace baleen {

/// What one micro-batch gives.
struct ShardResult {
  at::Tensor loss;                    ///< scalar, without graph
  std::vector<at::Tensor> gradients;  ///< of the trainable parameters, in order; undefined: zero
};

/// Forward and backward passes of micro-batches, recorded once per kind and played back.
///
/// A kind is whatever a recording can't change: shape, type and memory order of images and targets,
/// the global batch's size, which divides the loss, and whether the pass moves running statistics.
/// The first kWarmUp passes of a kind run as ever, since libraries choose their algorithms and take
/// their workspaces in them; the next is recorded. Learning rate, clipping, averaging and the sum
/// over shards and micro-batches lie outside, so that they change freely; weights that autocast
/// makes of the parameters are made anew within each play-back. What can't be recorded runs as
/// ever, and one line of the log says why.
///
/// Recordings name the memory of parameters and buffers: they are dropped when an epoch finds other
/// tensors, another set of trainable ones or layers in another mode. One trainer's; used from one
/// thread.
class StepGraphs {
 public:
  static constexpr int64_t kWarmUp = 3;
  static constexpr size_t kMaxKinds = 4;  ///< each keeps the memory of a pass; others run as ever

  /// Beside the tensors' own form, what makes two passes differ.
  struct PassKind {
    int64_t global_count = 0;
    bool moves_statistics = false;
    auto operator<=>(const PassKind&) const = default;
  };
  /// May be kept beyond the call: owns what it needs, but for what outlives this object.
  using Pass = std::function<ShardResult(const at::Tensor& images, const at::Tensor& targets)>;

  explicit StepGraphs(RecordedWorkFactory make) : make_(std::move(make)) {}

  /// At the start of an epoch: drops recordings that no longer fit the network.
  void begin_epoch(const torch::nn::Module& network);
  /// pass(images, targets), of equal bits. The result's tensors are overwritten by the next run()
  /// of the same kind.
  ShardResult run(const PassKind& kind, const at::Tensor& images, const at::Tensor& targets,
                  const Pass& pass);

  int64_t num_recorded() const;  ///< recordings that are kept
  int64_t num_played() const { return num_played_; }
  /// Why passes run as ever though a recording was due; empty: they don't.
  const std::string& why_not() const { return why_not_; }

 private:
  struct Form {
    std::vector<int64_t> sizes, strides;
    at::ScalarType dtype = at::kFloat;
    auto operator<=>(const Form&) const = default;
  };
  struct Entry {
    PassKind kind;
    Form images_form, targets_form;
    int64_t num_eager = 0;
    std::unique_ptr<RecordedWork> work;
    at::Tensor images, targets;  ///< what the recording reads
    ShardResult result;          ///< what it writes
  };

  static Form form_of(const at::Tensor& tensor);
  Entry& entry_of(const PassKind& kind, const at::Tensor& images, const at::Tensor& targets);
  void record(Entry& entry, const at::Tensor& images, const at::Tensor& targets, const Pass& pass);
  void give_up(const std::string& why);

  RecordedWorkFactory make_;
  std::vector<std::unique_ptr<Entry>> entries_;  ///< recordings name their entry
  std::vector<int64_t> network_;                 ///< addresses and modes, as of the epoch's start
  int64_t num_played_ = 0;
  std::string why_not_;
  bool too_many_ = false;  ///< it was said
};

}  // namespace baleen
