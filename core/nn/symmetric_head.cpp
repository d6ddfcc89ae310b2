#include "core/nn/symmetric_head.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

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
  const at::Tensor difference_BD = u_BD - v_BD;
  const at::Tensor channels_BD4 =
      at::stack({u_BD * v_BD, u_BD + v_BD, difference_BD.abs(), difference_BD.square()}, /*dim=*/2);
  const at::Tensor hidden_BDH = hidden_->forward(channels_BD4).relu_();
  return weighted_->forward(feature_->forward(hidden_BDH).squeeze(2)).squeeze(1);
}

at::Tensor SymmetricHead::score_rows(const at::Tensor& features_ND, int64_t first_row,
                                     int64_t last_row, int64_t chunk_pairs) {
  const int64_t n = features_ND.size(0);
  if (first_row < 0 || first_row > last_row || last_row > n || chunk_pairs < 1) {
    throw Error(ErrorKind::kInternal, fmt::format("rows [{}, {}) of {} in chunks of {} pairs",
                                                  first_row, last_row, n, chunk_pairs));
  }
  const at::NoGradGuard no_grad;
  const auto pairs_before = [n](int64_t row) { return row * (n - 1) - row * (row - 1) / 2; };
  const int64_t total = pairs_before(last_row) - pairs_before(first_row);
  at::Tensor logits_P = at::empty({total}, features_ND.options());
  const auto long_options = features_ND.options().dtype(at::kLong);
  // Runs of one row's pairs fill a chunk, so that chunks are full up to the last.
  int64_t row = first_row, next = first_row + 1;
  for (int64_t done = 0; done < total;) {
    const int64_t count = std::min(chunk_pairs, total - done);
    std::vector<at::Tensor> left, right;
    for (int64_t filled = 0; filled < count;) {
      if (next == n) {
        ++row;
        next = row + 1;
        continue;
      }
      const int64_t run = std::min(count - filled, n - next);
      left.push_back(at::full({run}, row, long_options));
      right.push_back(at::arange(next, next + run, long_options));
      filled += run;
      next += run;
    }
    logits_P.narrow(0, done, count)
        .copy_(forward(features_ND.index_select(0, at::cat(left)),
                       features_ND.index_select(0, at::cat(right))));
    done += count;
  }
  return logits_P;
}

}  // namespace baleen
