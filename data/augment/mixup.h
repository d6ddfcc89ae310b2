#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "core/base/seeds.h"

namespace baleen {

/// Who is blended with whom in a micro-batch: sample n becomes weights[n]·n + (1 − weights[n])·
/// partners[n]. Empty: nobody.
struct MixupDraw {
  std::vector<int64_t> partners;  ///< a permutation of the N samples
  std::vector<float> weights;     ///< in [0, 1]
};

/// A number from Beta(alpha, alpha), by two gamma variates (Marsaglia and Tsang 2000).
double draw_beta(double alpha, CounterRandom& random);

/// Partners and weights of `count` samples; nobody for a single sample or alpha 0.
MixupDraw draw_mixup(double alpha, int64_t count, CounterRandom random);

/// The generator of the micro-batch that begins at `position` of the epoch's order: the same on any
/// number of ranks and threads, as a micro-batch belongs to one logical shard.
CounterRandom mixup_random(uint64_t seed, int64_t epoch, int64_t step, int64_t position);

/// Blends N images of `image_size` numbers each, in place.
/// @param saved memory for one image
void mix_images(const MixupDraw& draw, float* images, int64_t image_size,
                std::vector<float>& saved);

/// Blends targets: float32 [N, L], or classes int64 [N], which become shares float32 [N,
/// num_classes].
at::Tensor mix_targets(const MixupDraw& draw, const at::Tensor& targets, int64_t num_classes);

}  // namespace baleen
