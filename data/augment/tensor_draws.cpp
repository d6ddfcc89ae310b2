#include "data/augment/tensor_draws.h"

#include <bit>
#include <vector>

#include "data/augment/noise.h"

namespace baleen {
namespace {

int64_t signed_bits(uint64_t bits) { return std::bit_cast<int64_t>(bits); }

/// mix64() of core/base/seeds.h. Products of int64 tensors keep the lower 64 bits, as those of
/// uint64_t do.
at::Tensor mixed_bits(at::Tensor z) {
  z = z + signed_bits(0x9E3779B97F4A7C15ull);
  z = z.bitwise_xor(shifted_right(z, 30)) * signed_bits(0xBF58476D1CE4E5B9ull);
  z = z.bitwise_xor(shifted_right(z, 27)) * signed_bits(0x94D049BB133111EBull);
  return z.bitwise_xor(shifted_right(z, 31));
}

}  // namespace

at::Tensor shifted_right(const at::Tensor& bits, int64_t count) {
  // The shift of signed numbers repeats the sign; the mask takes that away.
  return at::bitwise_right_shift(bits, count)
      .bitwise_and(at::Scalar(signed_bits(~uint64_t{0} >> static_cast<uint64_t>(count))));
}

at::Tensor counter_draws(const at::Tensor& seeds_N, int64_t count) {
  const at::Tensor counters = at::arange(1, count + 1, seeds_N.options());
  return mixed_bits(seeds_N.unsqueeze(1) +
                    (counters * signed_bits(0xD1342543DE82EF95ull)).unsqueeze(0));
}

at::Tensor normal_numbers(const at::Tensor& seeds_N, int64_t num_lines, int64_t length,
                          const at::Tensor& quantiles) {
  const int64_t draws_per_line = (length + kNoisePerDraw - 1) / kNoisePerDraw;
  const at::Tensor bits = counter_draws(seeds_N, num_lines * draws_per_line);
  std::vector<at::Tensor> parts;
  for (int64_t part = 0; part < kNoisePerDraw; ++part)
    parts.push_back(shifted_right(bits, 16 * part + (16 - kNoiseBits))
                        .bitwise_and(at::Scalar(int64_t{(1 << kNoiseBits) - 1})));
  const at::Tensor choice = at::stack(parts, -1);
  return quantiles.index_select(0, choice.reshape({-1}))
      .view({-1, num_lines, draws_per_line * kNoisePerDraw})
      .slice(2, 0, length);
}

}  // namespace baleen
