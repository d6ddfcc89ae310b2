#include "core/nn/checkpointing.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/saved_variable.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "core/base/error.h"
#include "core/nn/batch_norm.h"

namespace baleen {
namespace {

using torch::autograd::SavedVariable;
using torch::autograd::variable_list;

struct AutocastState {
  at::DeviceType device;
  bool enabled;
  at::ScalarType dtype;

  static AutocastState current(at::DeviceType device) {
    return {device, at::autocast::is_autocast_enabled(device),
            at::autocast::get_autocast_dtype(device)};
  }
  void apply() const {
    at::autocast::set_autocast_enabled(device, enabled);
    at::autocast::set_autocast_dtype(device, dtype);
  }
};

/// Sets autocast as it was in the first pass. Its cache of cast weights stays out of it: a weight
/// cast without gradients must not serve a call that needs them.
class AutocastGuard {
 public:
  explicit AutocastGuard(const AutocastState& state)
      : before_(AutocastState::current(state.device)),
        cache_before_(at::autocast::is_autocast_cache_enabled()) {
    state.apply();
    at::autocast::set_autocast_cache_enabled(false);
  }
  ~AutocastGuard() {
    before_.apply();
    at::autocast::set_autocast_cache_enabled(cache_before_);
  }
  AutocastGuard(const AutocastGuard&) = delete;
  AutocastGuard& operator=(const AutocastGuard&) = delete;

 private:
  AutocastState before_;
  bool cache_before_;
};

/// The piece's place in the graph. Parameters are inputs of this node too, so that their gradients
/// leave it as any other layer's do and hooks on them run in the outer backward pass.
struct RecomputedPiece final : torch::autograd::Node {
  std::vector<SavedVariable> saved;  ///< inputs, then parameters
  size_t num_inputs = 0;
  std::shared_ptr<torch::nn::Module> layer;
  CheckpointedFunction function;
  AutocastState autocast{at::kCPU, false, at::kFloat};
  StatisticsExchange* exchange = nullptr;  ///< of the scope the first pass was in; null: none

  variable_list apply(variable_list&& gradients) override;
  void release_variables() override {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (SavedVariable& variable : saved) variable.reset_data();
  }
  std::string name() const override { return "RecomputedPiece"; }
};

variable_list RecomputedPiece::apply(variable_list&& gradients) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (at::GradMode::is_enabled()) {
    throw Error(ErrorKind::kInternal, "a checkpointed layer has no second derivative",
                "build the network without `checkpoint`");
  }
  variable_list results(saved.size());
  if (!gradients[0].defined()) return results;
  variable_list inputs, sought;
  std::vector<size_t> places;
  const auto seek = [&](size_t i, const at::Tensor& variable) {
    if (!task_should_compute_output(i)) return;
    sought.push_back(variable);
    places.push_back(i);
  };
  for (size_t i = 0; i < saved.size(); ++i) {
    const at::Tensor variable = saved[i].unpack();
    if (i >= num_inputs) {
      seek(i, variable);
      continue;
    }
    inputs.push_back(variable.detach().set_requires_grad(variable.requires_grad()));
    seek(i, inputs.back());
  }
  if (sought.empty()) return results;
  at::Tensor output;
  {
    const at::AutoGradMode with_gradients(true);
    const AutocastGuard same_precision(autocast);
    // Inside the scope statistics stay by its own rule. Hiding them would not do there: shards take
    // turns within the piece, and the last one would restore what the first had hidden.
    std::optional<SynchronisedStatistics> synchronised;
    if (exchange != nullptr) synchronised.emplace(*exchange, /*moves_statistics=*/false);
    const FrozenStatistics frozen(*layer, /*freeze=*/exchange == nullptr);
    output = function(inputs);
  }
  variable_list found = torch::autograd::grad({output}, sought, {gradients[0]},
                                              /*retain_graph=*/std::nullopt,
                                              /*create_graph=*/false, /*allow_unused=*/true);
  for (size_t i = 0; i < places.size(); ++i) results[places[i]] = std::move(found[i]);
  return results;
}

bool any_requires_grad(const std::vector<at::Tensor>& tensors) {
  return std::any_of(tensors.begin(), tensors.end(),
                     [](const at::Tensor& tensor) { return tensor.requires_grad(); });
}

}  // namespace

at::Tensor checkpointed(const std::shared_ptr<torch::nn::Module>& layer,
                        const std::vector<at::Tensor>& parameters,
                        const std::vector<at::Tensor>& inputs,
                        const CheckpointedFunction& function) {
  if (!layer->is_training() || !at::GradMode::is_enabled() ||
      !(any_requires_grad(inputs) || any_requires_grad(parameters))) {
    return function(inputs);
  }
  variable_list sources = inputs;
  sources.insert(sources.end(), parameters.begin(), parameters.end());
  const std::shared_ptr<RecomputedPiece> piece(new RecomputedPiece(), torch::autograd::deleteNode);
  piece->set_next_edges(torch::autograd::collect_next_edges(at::TensorList(sources)));
  piece->num_inputs = inputs.size();
  piece->layer = layer;
  piece->function = function;
  piece->autocast = AutocastState::current(inputs.front().device().type());
  if (const auto* scope = SynchronisedStatistics::current()) piece->exchange = &scope->exchange();
  for (const at::Tensor& source : sources) {
    piece->saved.emplace_back(source, /*is_output=*/false);
  }
  at::Tensor output;
  {
    const at::NoGradGuard no_grad;
    const AutocastGuard uncached(piece->autocast);
    output = function(inputs);
  }
  torch::autograd::set_history(output, piece);
  return output;
}

}  // namespace baleen
