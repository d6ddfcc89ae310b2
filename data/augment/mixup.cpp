#include "data/augment/mixup.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "data/augment/augment.h"

namespace baleen {
namespace {

/// A gamma variate of this shape and scale 1.
double draw_gamma(double shape, CounterRandom& random) {
  if (shape < 1) {
    const double power = std::pow(1.0 - random.uniform(), 1 / shape);
    return draw_gamma(shape + 1, random) * power;
  }
  const double d = shape - 1.0 / 3;
  const double c = 1 / std::sqrt(9 * d);
  for (;;) {
    const double x = draw_normal(random);
    const double v = std::pow(1 + c * x, 3);
    const double u = 1.0 - random.uniform();
    if (v > 0 && std::log(u) < 0.5 * x * x + d - d * v + d * std::log(v)) return d * v;
  }
}

}  // namespace

double draw_beta(double alpha, CounterRandom& random) {
  const double a = draw_gamma(alpha, random);
  const double b = draw_gamma(alpha, random);
  // Both vanish where alpha is tiny: the distribution is then one of two points.
  if (!(a + b > 0)) return random.below(2) == 0 ? 0.0 : 1.0;
  return a / (a + b);
}

MixupDraw draw_mixup(double alpha, int64_t count, CounterRandom random) {
  MixupDraw draw;
  if (!(alpha > 0) || count < 2) return draw;
  draw.partners.resize(static_cast<size_t>(count));
  std::iota(draw.partners.begin(), draw.partners.end(), 0);
  shuffle(draw.partners, random);
  for (int64_t n = 0; n < count; ++n)
    draw.weights.push_back(static_cast<float>(draw_beta(alpha, random)));
  return draw;
}

CounterRandom mixup_random(uint64_t seed, int64_t epoch, int64_t step, int64_t position) {
  const auto key = [](int64_t value) { return static_cast<uint64_t>(value); };
  return CounterRandom(derive_seed(seed, Stream::kMixup, {key(epoch), key(step), key(position)}));
}

void mix_images(const MixupDraw& draw, float* images, int64_t image_size,
                std::vector<float>& saved) {
  const int64_t count = static_cast<int64_t>(draw.partners.size());
  const auto blend = [&](int64_t n, const float* partner) {
    float* own = images + n * image_size;
    const float weight = draw.weights[static_cast<size_t>(n)];
    for (int64_t i = 0; i < image_size; ++i) own[i] = partner[i] + weight * (own[i] - partner[i]);
  };
  // Cycle by cycle: only the first image of each is needed again after it was changed.
  std::vector<bool> done(static_cast<size_t>(count), false);
  for (int64_t first = 0; first < count; ++first) {
    if (done[static_cast<size_t>(first)]) continue;
    const float* begin = images + first * image_size;
    saved.assign(begin, begin + image_size);
    for (int64_t n = first;;) {
      done[static_cast<size_t>(n)] = true;
      const int64_t partner = draw.partners[static_cast<size_t>(n)];
      blend(n, partner == first ? saved.data() : images + partner * image_size);
      if (partner == first) break;
      n = partner;
    }
  }
}

at::Tensor mix_targets(const MixupDraw& draw, const at::Tensor& targets, int64_t num_classes) {
  const at::Tensor shares = targets.scalar_type() == at::kLong
                                ? at::one_hot(targets, num_classes).to(at::kFloat)
                                : targets;
  if (draw.partners.empty()) return shares;
  const at::Tensor others = shares.index_select(0, at::tensor(draw.partners, at::kLong));
  const at::Tensor weights_N1 = at::tensor(draw.weights, at::kFloat).unsqueeze(1);
  return others + weights_N1 * (shares - others);
}

}  // namespace baleen
