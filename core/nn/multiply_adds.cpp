#include "core/nn/multiply_adds.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/accumulate_grad.h>

#include <unordered_set>
#include <vector>

#include "core/nn/evaluation_mode.h"

namespace baleen {
namespace {

using torch::autograd::AccumulateGrad;
using torch::autograd::Node;

/// Shape of what an operation made, from its node in the autograd graph.
std::vector<int64_t> output_shape(const Node& node) {
  std::vector<int64_t> shape;
  for (const c10::SymInt& size : node.input_metadata(0).shape_as_dim_vector())
    shape.push_back(size.expect_int());
  return shape;
}

/// Multiply-adds of one use of a weight, for one image.
/// @param outputs shape of the result, [N, C, H, W] for convolutions, [N, ..., K] for linear layers
int64_t cost_of_use(const at::Tensor& weight, const std::vector<int64_t>& outputs) {
  int64_t cost = weight.numel();
  const size_t first = weight.dim() == 2 ? 1 : 2;
  const size_t last = weight.dim() == 2 ? outputs.size() - 1 : outputs.size();
  for (size_t i = first; i < last; ++i) cost *= outputs[i];
  return cost;
}

/// Visits every edge of the graph behind `root` once: a node, and the node of one of its inputs.
template <class Visitor>
void for_each_edge(Node* root, const Visitor& visit) {
  std::unordered_set<Node*> seen{root};
  std::vector<Node*> open{root};
  while (!open.empty()) {
    Node* node = open.back();
    open.pop_back();
    for (const auto& edge : node->next_edges()) {
      Node* input = edge.function.get();
      if (input == nullptr) continue;
      visit(*node, *input);
      if (seen.insert(input).second) open.push_back(input);
    }
  }
}

}  // namespace

int64_t multiply_adds(Backbone& network, int64_t in_channels, int64_t size_px) {
  // The graph that autograd keeps tells which weights were used, and the shapes they made.
  const at::AutoGradMode graph(true);
  const EvaluationMode evaluation(network);
  const at::Tensor logits_NK = network.forward(
      at::empty({0, in_channels, size_px, size_px}, network.parameters().at(0).options()));
  int64_t total = 0;
  const auto count = [&](const Node& user, const Node& input) {
    const auto* leaf = dynamic_cast<const AccumulateGrad*>(&input);
    if (leaf != nullptr && leaf->variable.dim() >= 2)
      total += cost_of_use(leaf->variable, output_shape(user));
  };
  for_each_edge(logits_NK.grad_fn().get(), [&](const Node& user, const Node& input) {
    if (user.name() == "TBackward0") return;  // counted below, by the product it enters
    count(user, input);
    if (input.name() != "TBackward0") return;
    if (const auto& weight = input.next_edge(0).function) count(user, *weight);
  });
  return total;
}

}  // namespace baleen
