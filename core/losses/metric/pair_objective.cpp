#include "core/losses/metric/pair_objective.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include <utility>

#include "core/base/error.h"

namespace baleen {

PairObjective::PairObjective(std::shared_ptr<SymmetricHead> head, double positive_weight)
    : head_(std::move(head)), positive_weight_(positive_weight) {}

BatchObjective::Result PairObjective::evaluate(const at::Tensor& outputs_BD,
                                               const at::Tensor& targets_B, int64_t, int64_t) {
  const int64_t num_pairs = outputs_BD.size(0) / 2;
  if (outputs_BD.size(0) != 2 * num_pairs)
    throw Error(ErrorKind::kInternal, fmt::format("pairs of {} images", outputs_BD.size(0)));
  const at::AutoGradMode grad(true);
  const at::Tensor leaf = outputs_BD.detach().clone().set_requires_grad(true);
  const at::Tensor pairs_P2D = leaf.view({num_pairs, 2, leaf.size(1)});
  const at::Tensor targets_P2 = targets_B.view({num_pairs, 2});
  const at::Tensor same_P =
      targets_P2.select(1, 0).eq(targets_P2.select(1, 1)).to(leaf.device(), at::kDouble);
  std::vector<at::Tensor> inputs{leaf};
  const std::vector<at::Tensor> own = parameters();
  for (const at::Tensor& parameter : own)
    inputs.push_back(parameter.detach().to(leaf.device(), at::kDouble).set_requires_grad(true));
  const at::Tensor logits_P = symmetric_logits(pairs_P2D.select(1, 0), pairs_P2D.select(1, 1),
                                               std::span<const at::Tensor>(inputs).subspan(1));
  const at::Tensor loss = at::binary_cross_entropy_with_logits(
      logits_P, same_P, {}, at::full({1}, positive_weight_, leaf.options().requires_grad(false)));
  const std::vector<at::Tensor> gradients = torch::autograd::grad({loss}, inputs);
  Result result;
  result.loss = loss.item<double>();
  result.gradient_BD = gradients.front();
  for (size_t i = 0; i < own.size(); ++i)
    result.parameter_gradients.push_back(
        gradients[i + 1].to(own[i].options().requires_grad(false)));
  return result;
}

}  // namespace baleen
