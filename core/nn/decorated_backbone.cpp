#include "core/nn/decorated_backbone.h"

#include <utility>

namespace baleen {
namespace {

/// Takes the module `name`, e.g. "fc" or "classifier.2", out of the tree.
void drop(torch::nn::Module& network, const std::string& name) {
  const size_t dot = name.rfind('.');
  if (dot == std::string::npos) return network.unregister_module(name);
  network.named_modules()[name.substr(0, dot)]->unregister_module(name.substr(dot + 1));
}

}  // namespace

DecoratedBackbone::DecoratedBackbone(std::shared_ptr<Backbone> inner,
                                     const std::vector<std::string>& leave_out)
    : inner_(std::move(inner)) {
  for (const std::string& name : leave_out) drop(*inner_, name);
  for (const auto& parameter : inner_->named_parameters(/*recurse=*/false)) {
    register_parameter(parameter.key(), parameter.value(), parameter.value().requires_grad());
  }
  for (const auto& buffer : inner_->named_buffers(/*recurse=*/false)) {
    register_buffer(buffer.key(), buffer.value());
  }
  for (const auto& child : inner_->named_children()) register_module(child.key(), child.value());
}

void DecoratedBackbone::train(bool on) {
  Backbone::train(on);
  inner_->train(on);
}

}  // namespace baleen
