#include "core/optim/optimizer.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <map>
#include <utility>

#include "core/base/error.h"

namespace baleen {
namespace {

void check(const OptimizerOptions& o) {
  const auto refuse = [](std::string message, std::string hint) {
    throw Error(ErrorKind::kConfiguration, std::move(message), std::move(hint));
  };
  if (o.kind != "sgd" && o.kind != "adam" && o.kind != "adamw") {
    refuse(fmt::format("unknown optimizer '{}'", o.kind), "known: sgd, adam, adamw");
  }
  if (o.kind == "sgd" && o.nesterov && !(o.momentum > 0.0)) {
    refuse("nesterov needs momentum, which is 0", "set momentum, or nesterov: false");
  }
  if (o.kind != "sgd" && !(o.beta1 >= 0.0 && o.beta1 < 1.0 && o.beta2 >= 0.0 && o.beta2 < 1.0)) {
    refuse(fmt::format("beta1 is {} and beta2 is {}", o.beta1, o.beta2), "both must be in [0, 1)");
  }
  if (!(o.weight_decay >= 0.0))
    refuse(fmt::format("weight_decay is {}", o.weight_decay), "it must be at least 0");
  if (!(o.keras_l2 >= 0.0))
    refuse(fmt::format("keras_l2 is {}", o.keras_l2), "it must be at least 0");
  if (o.keras_l2 > 0.0 && o.kind == "adamw") {
    refuse("keras_l2 joins the gradient, which adamw's decay does not",
           "take adam or sgd, or weight_decay");
  }
  if (o.head_weight_decay && !(*o.head_weight_decay >= 0.0))
    refuse(fmt::format("head_weight_decay is {}", *o.head_weight_decay), "it must be at least 0");
}

}  // namespace

std::vector<ParameterGroup> parameter_groups(const Backbone& network,
                                             const OptimizerOptions& options) {
  const std::string head_prefix = network.head_name() + ".";
  // Trunk, trunk without decay, head, head without decay, the trunk's kernels under keras_l2.
  std::vector<ParameterGroup> groups;
  const auto add = [&](double multiplier, double decay) {
    ParameterGroup group;
    group.lr_multiplier = multiplier;
    group.weight_decay = decay;
    groups.push_back(std::move(group));
  };
  add(options.trunk_lr_multiplier, options.weight_decay);
  add(options.trunk_lr_multiplier, 0.0);
  add(options.head_lr_multiplier, options.head_weight_decay.value_or(options.weight_decay));
  add(options.head_lr_multiplier, 0.0);
  add(options.trunk_lr_multiplier, options.weight_decay + 2.0 * options.keras_l2);
  for (const auto& item : network.named_parameters()) {
    const at::Tensor& parameter = item.value();
    if (!parameter.requires_grad()) continue;
    const bool head = item.key().starts_with(head_prefix);
    const bool bare = !options.decay_norm_and_bias && parameter.dim() < 2;
    const bool kernel = options.keras_l2 > 0.0 && !head && parameter.dim() >= 4;
    ParameterGroup& group = groups[kernel ? 4u : (head ? 2u : 0u) + (bare ? 1u : 0u)];
    group.names.push_back(item.key());
    group.parameters.push_back(parameter);
  }
  std::erase_if(groups, [](const ParameterGroup& group) { return group.parameters.empty(); });
  return groups;
}

Optimizer::Optimizer(std::vector<ParameterGroup> groups, OptimizerOptions options)
    : options_(std::move(options)) {
  check(options_);
  const bool sgd = options_.kind == "sgd";
  for (ParameterGroup& given : groups) {
    Group group;
    group.lr_multiplier = given.lr_multiplier;
    group.weight_decay = given.weight_decay;
    for (size_t i = 0; i < given.parameters.size(); ++i) {
      const at::Tensor& parameter = given.parameters[i];
      const std::string& name = given.names[i];
      const auto add_state = [&](std::vector<at::Tensor>& kind, const char* suffix) {
        kind.push_back(at::zeros_like(parameter.detach(), at::MemoryFormat::Preserve));
        state_.emplace_back(name + suffix, kind.back());
      };
      // Zeros stand for "no step yet": without dampening, momentum · 0 + gradient is the first
      // gradient, bit for bit.
      if (sgd && options_.momentum > 0.0) add_state(group.first, ".momentum");
      if (!sgd) {
        add_state(group.first, ".exp_avg");
        add_state(group.second, ".exp_avg_sq");
      }
      parameters_.push_back(parameter);
      names_.push_back(name);
    }
    group.parameters = std::move(given.parameters);
    groups_.push_back(std::move(group));
  }
  if (parameters_.empty()) throw Error(ErrorKind::kInternal, "an optimizer without parameters");
  steps_ = at::zeros({}, parameters_[0].options().dtype(at::kFloat).requires_grad(false));
}

std::vector<at::Tensor> Optimizer::gradients(const Group& group) const {
  std::vector<at::Tensor> gradients;
  gradients.reserve(group.parameters.size());
  for (const at::Tensor& parameter : group.parameters) {
    const at::Tensor& gradient = parameter.grad();
    if (!gradient.defined()) {
      for (size_t i = 0; i < parameters_.size(); ++i) {
        if (parameters_[i].is_same(parameter)) {
          throw Error(ErrorKind::kInternal,
                      fmt::format("parameter '{}' has no gradient at the step", names_[i]),
                      "every trainable parameter must take part in the loss");
        }
      }
    }
    // The fused kernels walk the memory of all their tensors side by side, whatever the strides.
    gradients.push_back(
        gradient.strides() == parameter.strides()
            ? gradient
            : at::empty_like(parameter.detach(), at::MemoryFormat::Preserve).copy_(gradient));
  }
  return gradients;
}

void Optimizer::update(Group& group, const std::vector<at::Tensor>& gradients, double lr) {
  if (options_.kind == "sgd") {
    at::_fused_sgd_(group.parameters, gradients, group.first, group.weight_decay, options_.momentum,
                    lr,
                    /*dampening=*/0.0, options_.nesterov, /*maximize=*/false,
                    /*is_first_step=*/false);
    return;
  }
  const std::vector<at::Tensor> steps(gradients.size(),
                                      steps_);  // one counter, seen once per parameter
  const auto kernel = [&](auto&& fused) {
    fused(group.parameters, gradients, group.first, group.second, at::TensorList(), steps, lr,
          options_.beta1, options_.beta2, group.weight_decay, options_.epsilon, /*amsgrad=*/false,
          /*maximize=*/false);
  };
  if (options_.kind == "adam") {
    kernel([](auto&&... arguments) { at::_fused_adam_(arguments...); });
  } else {
    kernel([](auto&&... arguments) { at::_fused_adamw_(arguments...); });
  }
}

void Optimizer::step(double lr) {
  at::NoGradGuard no_grad;
  std::vector<std::vector<at::Tensor>> all;  // checked before anything changes
  for (const Group& group : groups_) all.push_back(gradients(group));
  steps_.add_(1.0);
  for (size_t g = 0; g < groups_.size(); ++g) {
    update(groups_[g], all[g], lr * groups_[g].lr_multiplier);
  }
}

void Optimizer::clear_gradients() {
  for (at::Tensor& parameter : parameters_) parameter.mutable_grad().reset();
}

int64_t Optimizer::steps() const { return static_cast<int64_t>(steps_.item<float>()); }

void Optimizer::load(const NamedTensors& state, int64_t steps) {
  const auto refuse = [](std::string message) {
    throw Error(ErrorKind::kData, "optimizer state does not fit: " + message,
                "the checkpoint was written with another network or optimizer");
  };
  std::map<std::string, at::Tensor> given(state.begin(), state.end());
  for (const auto& [name, tensor] : state_) {
    const auto found = given.find(name);
    if (found == given.end()) refuse(fmt::format("'{}' is missing", name));
    if (found->second.sizes() != tensor.sizes())
      refuse(fmt::format("'{}' has another shape", name));
  }
  if (given.size() != state_.size()) {
    for (const auto& [name, tensor] : state_) given.erase(name);
    refuse(fmt::format("'{}' is unknown", given.begin()->first));
  }
  at::NoGradGuard no_grad;
  for (auto& [name, tensor] : state_) tensor.copy_(given.at(name));
  steps_.fill_(static_cast<double>(steps));
}

at::Tensor clip_gradients(const std::vector<at::Tensor>& parameters, double max_norm) {
  at::NoGradGuard no_grad;
  std::vector<at::Tensor> gradients;
  for (const at::Tensor& parameter : parameters) {
    if (parameter.grad().defined()) gradients.push_back(parameter.grad());
  }
  if (gradients.empty()) throw Error(ErrorKind::kInternal, "there are no gradients to clip");
  const at::Tensor norm = at::linalg_vector_norm(at::stack(at::_foreach_norm(gradients, 2.0)), 2.0);
  at::_foreach_mul_(gradients, at::clamp_max(max_norm / (norm + 1e-6), 1.0));
  return norm;
}

}  // namespace baleen
