#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <string>
#include <vector>

#include "core/nn/statistics_exchange.h"

namespace baleen {

/// Which statistics batch normalisation uses in training.
enum class BatchNormMode {
  kLocal,   ///< each logical shard's own batch; running statistics are shard 0's
  kSync,    ///< the whole global batch, over all logical shards, with exact gradients
  kFrozen,  ///< the running statistics, as in evaluation, which stay as they are; no gradients for
            ///< scale and shift
};

/// @throws Error kConfiguration for another name than "local", "sync" and "frozen".
BatchNormMode batch_norm_mode_from_name(const std::string& name);

/// norm(x), [N, C, H, W] or [N, C] -> the same shape: how networks call their batch normalisation.
/// Inside a SynchronisedStatistics scope, layers in training mode normalise by the global batch.
at::Tensor batch_norm(torch::nn::BatchNorm2dImpl& norm, const at::Tensor& x_NCHW);
at::Tensor batch_norm(torch::nn::BatchNorm1dImpl& norm, const at::Tensor& x_NC);

/// While alive, batch_norm() calls of this thread in training mode use the statistics of all
/// shards.
///
/// Mean and variance over shards of n_s samples: mean = sum n_s mean_s / N, variance =
/// sum n_s (var_s + (mean_s - mean)^2) / N (Chan, Golub and LeVeque 1979), combined in float64 in
/// shard order. The gradient is that of one batch: dx = gamma / sigma (dy - mean(dy) - x^ mean(dy
/// x^)), means over all shards (Ioffe and Szegedy 2015, arXiv:1502.03167, section 3).
class SynchronisedStatistics {
 public:
  /// @param exchange outlives forward and backward passes
  /// @param moves_statistics whether this shard moves the running statistics: one of all shards
  SynchronisedStatistics(StatisticsExchange& exchange, bool moves_statistics);
  ~SynchronisedStatistics();
  SynchronisedStatistics(const SynchronisedStatistics&) = delete;
  SynchronisedStatistics& operator=(const SynchronisedStatistics&) = delete;

  /// Whether this thread is inside such a scope: kernels that normalise by themselves leave layers
  /// in training mode to batch_norm() then.
  static bool active();
  /// This thread's innermost scope, null outside: for what computes a piece of a forward pass again
  /// later.
  static const SynchronisedStatistics* current();

  StatisticsExchange& exchange() const { return exchange_; }
  bool moves_statistics() const { return moves_statistics_; }

 private:
  StatisticsExchange& exchange_;
  bool moves_statistics_;
  SynchronisedStatistics* outer_;
};

/// Excludes scale and shift of every batch normalisation from training. For BatchNormMode::kFrozen,
/// before the optimizer is made.
void freeze_batch_norm_parameters(torch::nn::Module& network);
/// Puts every batch normalisation of a network in training mode into evaluation mode.
void use_running_statistics(torch::nn::Module& network);

/// While alive, forward passes of a network in evaluation mode, without dropout thus, make its
/// batch norms' running statistics anew: the plain average over the passes. Statistics that were
/// gathered under dropout have another variance than what prediction sees (Li et al. 2019,
/// "Understanding the Disharmony between Dropout and Batch Normalization by Variance Shift").
class GatheredStatistics {
 public:
  explicit GatheredStatistics(torch::nn::Module& network);
  ~GatheredStatistics();
  GatheredStatistics(const GatheredStatistics&) = delete;
  GatheredStatistics& operator=(const GatheredStatistics&) = delete;

 private:
  torch::nn::Module& network_;
  bool was_training_;
  std::vector<double> momenta_;  ///< of the layers, in order
};

/// While alive, forward passes in training mode leave the running statistics of every batch norm
/// (BatchNorm1d, 2d, 3d) as they are.
///
/// A step's logical shards each normalise by their own batch, but only one shard may move the
/// running statistics, or they would depend on how the shards are spread over ranks. The handles
/// are hidden, not saved and copied back: autograd counts a copy as a modification and would refuse
/// the backward pass. The restored tensors are the very same ones. Only the forward pass needs this
/// guard. Layers in evaluation mode keep their statistics, which they need.
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
  std::vector<Hidden> hidden_;
};

}  // namespace baleen
