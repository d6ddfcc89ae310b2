#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/config/field.h"
#include "core/config/parameters.h"

// Letters: N samples of a micro-batch, K outputs, S statistics.

namespace baleen {

/// Part of a loss that is a function of sums over the whole global batch, for instance a ratio of
/// them.
///
/// Its gradient needs the sums of all shards, so that a step goes through the batch twice: first
/// the statistics, without graph, summed over all shards; then backward with the weights that
/// gradient_at() gives (see shard_loss()).
class BatchTerm {
 public:
  virtual ~BatchTerm() = default;
  /// S, the length of statistics().
  virtual int64_t num_statistics() const = 0;
  /// Sums over the micro-batch's samples, [S], differentiable in the logits.
  virtual at::Tensor statistics(const at::Tensor& logits_NK, const at::Tensor& targets) const = 0;
  /// The term for the whole global batch, a scalar, differentiable in the sums.
  virtual at::Tensor value(const at::Tensor& sums_S) const = 0;
};

/// A training loss over a global batch of B samples: L = (1/B) Σ_b per-sample(b) + batch term,
/// either of which may be absent.
///
/// Immutable; used from one thread. All results are computed in float32, or in float64 where the
/// logits are.
class Loss {
 public:
  virtual ~Loss() = default;
  /// Σ over the micro-batch of the per-sample part (never the mean: the caller divides by B).
  /// Scalar with graph.
  /// @throws Error kConfiguration when the targets do not fit the loss or the number of outputs.
  virtual at::Tensor sum(const at::Tensor& logits_NK, const at::Tensor& targets) const = 0;
  /// The batch term, or null where the loss is a plain mean over samples. Owned by the loss.
  virtual const BatchTerm* batch_term() const = 0;
  /// What the logits mean: sigmoid for independent labels, softmax for classes. [N, K], at least
  /// float32.
  virtual at::Tensor probabilities(const at::Tensor& logits_NK) const = 0;
  /// What the mean of several looks' probabilities becomes, [N, K]: a mean of probabilities is one,
  /// a mean of unit vectors is shorter than they are.
  virtual at::Tensor of_looks(const at::Tensor& mean_NK) const { return mean_NK; }
};

/// Which loss a recipe asks for.
struct LossOptions {
  std::string kind = "bce";
  std::vector<double> pos_weight;
  double label_smoothing = 0.0;
  std::string f2_variant = "per_sample";
  double f2_weight = 1.0;
  double f2_epsilon = 1e-6;
  Parameters parameters;
};

template <class Visitor>
void visit_fields(Visitor& v, LossOptions& o) {
  v.field("kind", o.kind,
          "bce: binary cross-entropy per label; cross_entropy: one class per sample; soft_f2: 1 - "
          "F2 of the "
          "probabilities; bce_soft_f2: bce + f2_weight * soft_f2; or the name of an extension's");
  v.field("pos_weight", o.pos_weight,
          "bce: factor on the positive part of each label; empty: 1, one value: the same for all "
          "labels");
  v.field("label_smoothing", o.label_smoothing,
          "cross_entropy: share of the target spread evenly over all classes",
          config::between(0.0, 1.0));
  v.field("f2_variant", o.f2_variant,
          "per_sample: mean of each sample's F2 (the competition's metric); per_label: mean of "
          "each label's F2 over the "
          "batch, weighs rare labels more; global: one F2 over all decisions of the batch",
          config::one_of({"per_sample", "per_label", "global"}));
  v.field("f2_weight", o.f2_weight, "bce_soft_f2: factor on the soft F2 part",
          config::at_least(0.0));
  v.field("f2_epsilon", o.f2_epsilon, "soft F2: added to denominators",
          config::between(1e-12, 1e-2));
  v.field("parameters", o.parameters, "numbers of an extension's loss, by name");
}

/// A built-in loss; those of extensions are made by LossRegistry.
/// @param num_outputs K; a pos_weight of another length than 1 or K is refused
/// @throws Error kConfiguration for an unknown kind or variant, or values that contradict each
/// other.
std::unique_ptr<Loss> make_loss(const LossOptions& options, int64_t num_outputs);

/// d value / d sums at the given sums of the whole global batch, [S]: the weights for shard_loss().
at::Tensor gradient_at(const BatchTerm& term, const at::Tensor& sums_S);

/// What one micro-batch backpropagates, so that the gradients of all micro-batches of a step add up
/// to the gradient of L: sum(logits, targets) / global_count + weights · statistics(logits,
/// targets).
///
/// @param weights_S gradient_at() the sums of the whole global batch; undefined where there is no
/// batch term
at::Tensor shard_loss(const Loss& loss, const at::Tensor& logits_NK, const at::Tensor& targets,
                      int64_t global_count, const at::Tensor& weights_S);

/// L itself, from the total of sum() over all shards and the sums of the statistics (undefined
/// without batch term).
double global_loss(const Loss& loss, double total, int64_t global_count, const at::Tensor& sums_S);

}  // namespace baleen
