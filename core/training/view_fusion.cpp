#include "core/training/view_fusion.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "core/base/error.h"

namespace baleen {

Fusion fusion_from_name(const std::string& name) {
  if (name == "mean") return Fusion::kMean;
  if (name == "rank") return Fusion::kRank;
  throw Error(ErrorKind::kConfiguration, fmt::format("unknown fusion '{}'", name),
              "known: mean, rank");
}

at::Tensor fuse_ranks(const at::Tensor& looks_SNK) {
  const at::Tensor looks = looks_SNK.to(at::kCPU, at::kFloat).contiguous();
  const int64_t num_looks = looks.size(0);
  const int64_t num_images = looks.size(1);
  const size_t num_outputs = static_cast<size_t>(looks.size(2));
  at::Tensor fused = at::empty({num_images, looks.size(2)}, at::kFloat);
  const float* in = looks.const_data_ptr<float>();
  float* out = fused.mutable_data_ptr<float>();

  std::vector<size_t> order(num_outputs);
  std::vector<size_t> first_order;
  std::vector<double> profile(num_outputs);
  std::vector<double> scores(num_outputs);
  // Ranks of one output in all looks, added in ascending order: equal lists give equal sums.
  std::vector<std::vector<size_t>> ranks(num_outputs,
                                         std::vector<size_t>(static_cast<size_t>(num_looks)));
  for (int64_t n = 0; n < num_images; ++n) {
    std::fill(profile.begin(), profile.end(), 0.0);
    for (int64_t s = 0; s < num_looks; ++s) {
      const float* p = in + (s * num_images + n) * static_cast<int64_t>(num_outputs);
      std::iota(order.begin(), order.end(), size_t{0});
      std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return p[a] > p[b]; });
      for (size_t place = 0; place < num_outputs; ++place) {
        ranks[order[place]][static_cast<size_t>(s)] = place;
        profile[place] += static_cast<double>(p[order[place]]);
      }
      if (s == 0) first_order = order;
    }
    for (size_t k = 0; k < num_outputs; ++k) {
      std::sort(ranks[k].begin(), ranks[k].end());
      scores[k] = 0;
      for (size_t rank : ranks[k]) scores[k] += 1.0 / static_cast<double>(rank + 1);
    }
    std::stable_sort(first_order.begin(), first_order.end(),
                     [&](size_t a, size_t b) { return scores[a] > scores[b]; });
    for (size_t place = 0; place < num_outputs; ++place)
      out[n * static_cast<int64_t>(num_outputs) + static_cast<int64_t>(first_order[place])] =
          static_cast<float>(profile[place] / static_cast<double>(num_looks));
  }
  return fused;
}

}  // namespace baleen
