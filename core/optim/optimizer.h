#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/config/field.h"
#include "core/nn/backbone.h"
#include "core/weights/named_tensors.h"

namespace baleen {

/// Which optimizer a recipe asks for. The learning rate is that of the start; the schedule changes
/// it.
struct OptimizerOptions {
  std::string kind = "adamw";
  double lr = 1e-3;
  double weight_decay = 0.0;
  double keras_l2 = 0.0;
  double momentum = 0.9;
  bool nesterov = false;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double head_lr_multiplier = 1.0;
  double trunk_lr_multiplier = 1.0;
  std::optional<double> head_weight_decay;
  bool decay_norm_and_bias = true;
};

template <class Visitor>
void visit_fields(Visitor& v, OptimizerOptions& o) {
  v.field("kind", o.kind,
          "sgd: with momentum; adam: weight decay is added to the gradient; adamw: weight decay "
          "shrinks the weights",
          config::one_of({"sgd", "adam", "adamw"}));
  v.field("lr", o.lr, "learning rate before schedule and multipliers", config::at_least(0.0));
  v.field("weight_decay", o.weight_decay,
          "L2 penalty (sgd, adam) or shrinkage per unit of learning rate (adamw)",
          config::at_least(0.0));
  v.field(
      "keras_l2", o.keras_l2,
      "sgd, adam: L2 penalty as Keras counts it, l2(x) on each convolution kernel of the trunk: "
      "x times the sum of its squared weights joins the loss, 2x times a weight its gradient",
      config::at_least(0.0));
  v.field("momentum", o.momentum, "sgd: share of the last update that is kept",
          config::between(0.0, 1.0));
  v.field("nesterov", o.nesterov, "sgd: look ahead along the momentum");
  v.field("beta1", o.beta1, "adam, adamw: decay of the mean of gradients",
          config::between(0.0, 1.0));
  v.field("beta2", o.beta2, "adam, adamw: decay of the mean of squared gradients",
          config::between(0.0, 1.0));
  v.field("epsilon", o.epsilon, "adam, adamw: added to the denominator", config::between(0.0, 1.0));
  v.field("head_lr_multiplier", o.head_lr_multiplier,
          "factor on the head's learning rate; above 1 where a fresh head sits on trained layers",
          config::at_least(0.0));
  v.field("trunk_lr_multiplier", o.trunk_lr_multiplier,
          "factor on the learning rate of all layers but the head", config::at_least(0.0));
  v.field("head_weight_decay", o.head_weight_decay,
          "weight_decay of the head; absent: that of all layers", config::at_least(0.0));
  v.field("decay_norm_and_bias", o.decay_norm_and_bias,
          "false: no weight decay on biases and normalisation layers, only on weights of two or "
          "more dimensions");
}

/// Parameters that share a learning-rate multiplier and a weight decay.
struct ParameterGroup {
  std::vector<std::string> names;
  std::vector<at::Tensor> parameters;
  double lr_multiplier = 1.0;
  double weight_decay = 0.0;
};

/// The network's trainable parameters as the options ask: trunk and head, with and without weight
/// decay; empty groups are left out, and so are parameters without gradients (core/optim/freeze.h).
/// Within a group the network's own order.
std::vector<ParameterGroup> parameter_groups(const Backbone& network,
                                             const OptimizerOptions& options);

/// SGD, Adam or AdamW over fixed parameters, through LibTorch's fused kernels (one pass over memory
/// per step).
///
/// The same update as torch.optim's. State has the parameters' dtype, device and memory layout, and
/// is there from the start, so that a checkpoint always has the same entries. Used from one thread.
class Optimizer {
 public:
  /// @throws Error kConfiguration for an unknown kind or values out of range.
  Optimizer(std::vector<ParameterGroup> groups, OptimizerOptions options);

  /// Updates every parameter from its grad().
  /// @param lr learning rate of this step, before the groups' multipliers
  /// @throws Error kInternal naming a parameter that has no gradient.
  void step(double lr);

  /// Makes all gradients undefined.
  void clear_gradients();

  /// Parameters in the order of the groups.
  const std::vector<at::Tensor>& parameters() const { return parameters_; }

  /// State tensors themselves (no copies) under stable names, "<parameter>.momentum",
  /// "<parameter>.exp_avg", ….
  const NamedTensors& state() const { return state_; }
  /// Steps that changed the parameters. Waits for the device.
  int64_t steps() const;
  /// Copies the state back in.
  /// @throws Error kData naming the first tensor that is missing, unknown or of another shape.
  void load(const NamedTensors& state, int64_t steps);

 private:
  struct Group {
    std::vector<at::Tensor> parameters;
    std::vector<at::Tensor>
        first;  ///< momentum, or mean of gradients; empty for SGD without momentum
    std::vector<at::Tensor> second;  ///< mean of squared gradients
    double lr_multiplier;
    double weight_decay;
  };
  std::vector<at::Tensor> gradients(const Group& group) const;
  void update(Group& group, const std::vector<at::Tensor>& gradients, double lr);

  OptimizerOptions options_;
  std::vector<Group> groups_;
  std::vector<at::Tensor> parameters_;
  std::vector<std::string> names_;
  NamedTensors state_;
  at::Tensor steps_;  ///< float32 scalar on the parameters' device: the fused kernels read it there
};

/// Scales the gradients of `parameters` down so that their joint 2-norm is at most `max_norm`, by
/// min(1, max_norm / (norm + 1e-6)), as torch.nn.utils.clip_grad_norm_ does. The same bits for the
/// same gradients.
/// @returns the norm before clipping, a scalar on the device (reading it waits); not finite where a
/// gradient is not
at::Tensor clip_gradients(const std::vector<at::Tensor>& parameters, double max_norm);

}  // namespace baleen
