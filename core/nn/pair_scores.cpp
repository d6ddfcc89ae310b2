#include "core/nn/pair_scores.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/base/error.h"
#include "core/base/tensor_threads.h"

#include "core/base/lanes.h"

namespace baleen {
namespace {

using lanes::Floats;

constexpr int64_t kLanes = lanes::kLanesOf<float>;
constexpr int64_t kTile = 2 * kLanes;  ///< second images that are compared with one side by side
constexpr int64_t kFields = 6;

/// One feature's channels of one image with kLanes others.
struct Channels {
  Floats product, sum, distance, square;
};

BALEEN_INLINE Channels channels_of(float u, const float* v) {
  const Floats other = lanes::load(v);
  const Floats difference = u - other;
  const Floats negative = -difference;
  return {u * other, u + other, difference > negative ? difference : negative,
          difference * difference};
}

/// What the hidden unit adds.
BALEEN_INLINE Floats unit(const float* w, const Channels& c) {
  const Floats x = w[4] + w[0] * c.product + w[1] * c.sum + w[2] * c.distance + w[3] * c.square;
  return w[5] * (x > 0.0f ? x : Floats{});
}

/// Logits of one image with the kTile images of `v`, whose features lie side by side, [D, kTile].
// Haswell: AVX2 with fused multiply-add.
BALEEN_INSTRUCTION_SETS("avx512f", "arch=haswell", "default")
void score_tile(const float* u, const float* v, int64_t num_features, const float* hidden,
                const float* weighted, float constant, float* out) {
  Floats first = lanes::broadcast(constant), second = first;
  for (int64_t d = 0; d < num_features; ++d) {
    const Channels a = channels_of(u[d], v + d * kTile);
    const Channels b = channels_of(u[d], v + d * kTile + kLanes);
    Floats sum_a = {}, sum_b = {};
    for (int64_t h = 0; h < SymmetricHead::kHiddenWidth; ++h) {
      const float* w = hidden + h * kFields;
      sum_a += unit(w, a);
      sum_b += unit(w, b);
    }
    first += weighted[d] * sum_a;
    second += weighted[d] * sum_b;
  }
  lanes::store(first, out);
  lanes::store(second, out + kLanes);
}

}  // namespace

PairScores::PairScores(const SymmetricHead& head) {
  const at::NoGradGuard no_grad;
  const std::vector<at::Tensor> weights = head.parameters();
  std::vector<at::Tensor> here;
  here.reserve(weights.size());
  for (const at::Tensor& weight : weights)
    here.push_back(weight.detach().to(at::kCPU, at::kFloat).contiguous());
  // In the order of SymmetricHead's layers: weight and bias of hidden, feature, weighted.
  hidden_H6_ = at::cat({here[0], here[1].unsqueeze(1), here[2].t()}, 1).contiguous();
  weighted_D_ = here[4].flatten().clone();
  num_features_ = weighted_D_.numel();
  // The feature layer's bias, weighted, is the same for all pairs.
  constant_ =
      static_cast<float>(weighted_D_.sum(at::kDouble).item<double>() * here[3].item<double>() +
                         here[5].item<double>());
}

at::Tensor PairScores::logits(const at::Tensor& u_AD, const at::Tensor& v_BD) const {
  if (u_AD.dim() != 2 || v_BD.dim() != 2 || u_AD.size(1) != num_features_ ||
      v_BD.size(1) != num_features_) {
    throw Error(
        ErrorKind::kInternal,
        fmt::format("pairs of features of shapes [{}] and [{}], expected {} features",
                    fmt::join(u_AD.sizes(), ", "), fmt::join(v_BD.sizes(), ", "), num_features_));
  }
  const at::NoGradGuard no_grad;
  const at::Tensor first = u_AD.to(at::kFloat).contiguous();
  const at::Tensor second = v_BD.to(at::kFloat).contiguous();
  const int64_t num_first = first.size(0), num_second = second.size(0), width = num_features_;
  at::Tensor out = at::empty({num_first, num_second}, at::kFloat);
  const float* u = first.const_data_ptr<float>();
  const float* v = second.const_data_ptr<float>();
  const float* hidden = hidden_H6_.const_data_ptr<float>();
  const float* weighted = weighted_D_.const_data_ptr<float>();
  float* cells = out.mutable_data_ptr<float>();
  const int64_t num_tiles = (num_second + kTile - 1) / kTile;
  split_over_threads(0, num_tiles, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> packed(static_cast<size_t>(width * kTile), 0.0f);
    float scores[kTile];
    for (int64_t tile = begin; tile < end; ++tile) {
      const int64_t base = tile * kTile;
      const int64_t count = std::min(kTile, num_second - base);
      for (int64_t lane = 0; lane < count; ++lane)
        for (int64_t d = 0; d < width; ++d)
          packed[static_cast<size_t>(d * kTile + lane)] = v[(base + lane) * width + d];
      for (int64_t i = 0; i < num_first; ++i) {
        score_tile(u + i * width, packed.data(), width, hidden, weighted, constant_, scores);
        std::copy_n(scores, count, cells + i * num_second + base);
      }
    }
  });
  return out;
}

at::Tensor PairScores::probabilities(const at::Tensor& u_AD, const at::Tensor& v_BD) const {
  at::Tensor scores = logits(u_AD, v_BD);
  float* cells = scores.mutable_data_ptr<float>();
  // One by one: LibTorch's sigmoid may round the last few of a tensor in another way.
  split_over_threads(0, scores.numel(), 16384, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) cells[i] = 1.0f / (1.0f + std::exp(-cells[i]));
  });
  return scores;
}

}  // namespace baleen
