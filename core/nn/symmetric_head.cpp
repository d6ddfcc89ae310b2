#include "core/nn/symmetric_head.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/error.h"
#include "core/nn/initialise.h"

namespace baleen {

SymmetricHead::SymmetricHead(int64_t num_features) : num_features_(num_features) {
  constexpr int64_t kChannels = 4;
  hidden_ = register_module("hidden", torch::nn::Linear(kChannels, kHiddenWidth));
  feature_ = register_module("feature", torch::nn::Linear(kHiddenWidth, 1));
  weighted_ = register_module("weighted", torch::nn::Linear(num_features, 1));
  at::NoGradGuard no_grad;
  for (auto* layer : {&hidden_, &feature_, &weighted_}) {
    glorot_uniform((*layer)->weight);
    (*layer)->bias.zero_();
  }
}

at::Tensor SymmetricHead::forward(const at::Tensor& u_BD, const at::Tensor& v_BD) {
  if (u_BD.dim() != 2 || u_BD.sizes() != v_BD.sizes() || u_BD.size(1) != num_features_) {
    throw Error(
        ErrorKind::kInternal,
        fmt::format("pairs of features have shapes [{}] and [{}], expected [B, {}] twice",
                    fmt::join(u_BD.sizes(), ", "), fmt::join(v_BD.sizes(), ", "), num_features_));
  }
  return symmetric_logits(u_BD, v_BD, parameters());
}

at::Tensor symmetric_logits(const at::Tensor& u_BD, const at::Tensor& v_BD,
                            std::span<const at::Tensor> weights) {
  const at::Tensor difference_BD = u_BD - v_BD;
  const at::Tensor channels_BD4 =
      at::stack({u_BD * v_BD, u_BD + v_BD, difference_BD.abs(), difference_BD.square()}, /*dim=*/2);
  const at::Tensor hidden_BDH = at::linear(channels_BD4, weights[0], weights[1]).relu_();
  const at::Tensor features_BD = at::linear(hidden_BDH, weights[2], weights[3]).squeeze(2);
  return at::linear(features_BD, weights[4], weights[5]).squeeze(1);
}

}  // namespace baleen
