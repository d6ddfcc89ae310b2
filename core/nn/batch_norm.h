#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <vector>

namespace baleen {

/// While alive, forward passes in training mode leave the running statistics of every batch norm
/// (BatchNorm1d, 2d, 3d) as they are.
///
/// A step's logical shards each normalise by their own batch, but only one shard may move the
/// running statistics, or they would depend on how the shards are spread over ranks. The handles
/// are hidden, not saved and copied back: autograd counts a copy as a modification and would refuse
/// the backward pass. The restored tensors are the very same ones. Only the forward pass needs this
/// guard. Evaluation inside it is a mistake: there are no statistics to use.
class FrozenStatistics {
 public:
  /// @param freeze false: does nothing, for the one shard that owns the statistics
  explicit FrozenStatistics(const torch::nn::Module& network, bool freeze = true);
  ~FrozenStatistics();
  FrozenStatistics(const FrozenStatistics&) = delete;
  FrozenStatistics& operator=(const FrozenStatistics&) = delete;

 private:
  struct Hidden {
    at::Tensor* place;
    at::Tensor value;
  };
  template <class BatchNorm>
  bool hide(torch::nn::Module& module);

  std::vector<Hidden> hidden_;
};

}  // namespace baleen
