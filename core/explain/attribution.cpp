#include "core/explain/attribution.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/function_hook.h>

#include <unordered_set>
#include <vector>

#include "core/base/error.h"
#include "core/base/seeds.h"
#include "core/nn/evaluation_mode.h"
#include "core/nn/map_head.h"

namespace baleen {
namespace {

using torch::autograd::Node;
using torch::autograd::variable_list;

// Maps must lead to the logits; rounding may differ where forward() fuses what is separate here.
constexpr double kSameLogits = 1e-3;

/// Lets positive gradients through alone.
struct KeepPositive : torch::autograd::FunctionPreHook {
  variable_list operator()(const variable_list& gradients) override {
    variable_list kept;
    for (const at::Tensor& gradient : gradients)
      kept.push_back(gradient.defined() ? gradient.clamp_min(0) : gradient);
    return kept;
  }
};

/// Backward of relu, and of Baleen's norm and relu in one: both get the gradient of relu's result.
bool is_relu(const Node& node) {
  const std::string name = node.name();
  return name.find("ReluBackward") == 0 || name.find("NormReLU") != std::string::npos ||
         name.find("NormAddReLU") != std::string::npos;
}

void guide_relus(const at::Tensor& logits) {
  std::vector<Node*> open{logits.grad_fn().get()};
  std::unordered_set<Node*> seen(open.begin(), open.end());
  while (!open.empty()) {
    Node* node = open.back();
    open.pop_back();
    if (is_relu(*node)) node->add_pre_hook(std::make_unique<KeepPositive>());
    for (const torch::autograd::Edge& edge : node->next_edges()) {
      if (edge.function && seen.insert(edge.function.get()).second)
        open.push_back(edge.function.get());
    }
  }
}

void check_outputs(const at::Tensor& logits_NK, std::span<const int64_t> outputs) {
  for (const int64_t output : outputs) {
    if (output >= 0 && output < logits_NK.size(1)) continue;
    throw Error(ErrorKind::kConfiguration,
                fmt::format("output {} of a network of {} outputs", output, logits_NK.size(1)));
  }
}

/// Gradients of each output's logit with respect to `inputs`, one tensor per output. Images do not
/// see each other, so that the gradient of their sum holds those of all.
std::vector<at::Tensor> gradients_of(const at::Tensor& logits_NK, const at::Tensor& inputs,
                                     std::span<const int64_t> outputs) {
  check_outputs(logits_NK, outputs);
  std::vector<at::Tensor> result;
  for (const int64_t output : outputs) {
    const variable_list gradient = torch::autograd::grad(
        {logits_NK.select(1, output).sum()}, {inputs}, {}, /*retain_graph=*/true,
        /*create_graph=*/false, /*allow_unused=*/true);
    result.push_back(gradient[0].defined() ? gradient[0] : at::zeros_like(inputs));
  }
  return result;
}

std::vector<at::Tensor> image_gradients(Backbone& network, const at::Tensor& images_NCHW,
                                        std::span<const int64_t> outputs, bool guided) {
  const at::AutoGradMode recorded(true);
  const at::Tensor images = images_NCHW.detach().clone().requires_grad_(true);
  const at::Tensor logits = network.forward(images);
  if (guided) guide_relus(logits);
  return gradients_of(logits, images, outputs);
}

/// Largest magnitude over the channels, outputs side by side.
at::Tensor magnitude(const std::vector<at::Tensor>& gradients_PNCHW) {
  std::vector<at::Tensor> maps;
  for (const at::Tensor& gradient : gradients_PNCHW) maps.push_back(gradient.abs().amax(1));
  return at::stack(maps, 1).contiguous();
}

}  // namespace

at::Tensor saliency(Backbone& network, const at::Tensor& images_NCHW,
                    std::span<const int64_t> outputs) {
  const EvaluationMode evaluation(network);
  return magnitude(image_gradients(network, images_NCHW, outputs, /*guided=*/false));
}

at::Tensor smooth_grad_noise(const at::Tensor& images_NCHW, int64_t sample, uint64_t seed) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(
      derive_seed(seed, Stream::kTestTime, {static_cast<uint64_t>(sample)}));
  return at::randn(images_NCHW.sizes(), generator, at::kFloat)
      .to(images_NCHW.device(), images_NCHW.scalar_type());
}

at::Tensor smooth_grad(Backbone& network, const at::Tensor& images_NCHW,
                       std::span<const int64_t> outputs, const SmoothGradOptions& options) {
  const EvaluationMode evaluation(network);
  const at::Tensor range =
      images_NCHW.amax({1, 2, 3}, /*keepdim=*/true) - images_NCHW.amin({1, 2, 3}, true);
  std::vector<at::Tensor> sums;
  for (int64_t s = 0; s < options.samples; ++s) {
    const at::Tensor noisy =
        images_NCHW + options.noise * range * smooth_grad_noise(images_NCHW, s, options.seed);
    const std::vector<at::Tensor> gradients = image_gradients(network, noisy, outputs, false);
    if (sums.empty()) {
      sums = gradients;
    } else {
      for (size_t p = 0; p < sums.size(); ++p) sums[p] = sums[p] + gradients[p];
    }
  }
  return magnitude(sums) / double(options.samples);
}

at::Tensor guided_backpropagation(Backbone& network, const at::Tensor& images_NCHW,
                                  std::span<const int64_t> outputs) {
  const EvaluationMode evaluation(network);
  return magnitude(image_gradients(network, images_NCHW, outputs, /*guided=*/true));
}

at::Tensor grad_cam(Backbone& network, const at::Tensor& images_NCHW,
                    std::span<const int64_t> outputs) {
  const EvaluationMode evaluation(network);
  std::vector<at::Tensor> maps;
  at::Tensor expected;
  {
    const at::NoGradGuard no_grad;
    maps = network.features(images_NCHW);
    expected = network.forward(images_NCHW);
  }
  const at::AutoGradMode recorded(true);
  maps.back() = maps.back().detach().clone().requires_grad_(true);
  const at::Tensor logits = logits_of_maps(network, maps);
  const double scale = std::max(1.0, expected.abs().max().item<double>());
  if (logits.sizes() != expected.sizes() ||
      !((logits - expected).abs().max().item<double>() <= kSameLogits * scale)) {
    throw Error(ErrorKind::kConfiguration,
                "the network's maps do not lead to its logits by its head alone",
                "let the network implement MapHead (core/nn/map_head.h)");
  }
  std::vector<at::Tensor> result;
  for (const at::Tensor& gradient : gradients_of(logits, maps.back(), outputs)) {
    const at::Tensor weights = gradient.mean({2, 3}, /*keepdim=*/true);
    const at::Tensor cam = (weights * maps.back().detach()).sum(1, /*keepdim=*/true).clamp_min(0);
    result.push_back(at::upsample_bilinear2d(cam, {images_NCHW.size(2), images_NCHW.size(3)},
                                             /*align_corners=*/false));
  }
  return at::cat(result, 1).contiguous();
}

at::Tensor scaled_maps(const at::Tensor& maps_NPHW) {
  const at::Tensor largest = maps_NPHW.amax({2, 3}, /*keepdim=*/true);
  return maps_NPHW / at::where(largest > 0, largest, at::ones_like(largest));
}

}  // namespace baleen
