#include "data/augment/vector_kernels.h"

#if defined(__x86_64__)

// GCC 12 takes the undefined operands inside its own AVX-512 header for mistakes.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include <algorithm>
#include <cstring>

// Compiled for AVX2 whatever the rest is compiled for. Without FMA, so that nothing is fused.
#define BALEEN_AVX2 __attribute__((target("avx2")))
#define BALEEN_AVX512 __attribute__((target("avx512f,avx512bw,avx512vbmi")))

namespace baleen::kernels {
namespace {

BALEEN_AVX2 inline __m128i load_two(const uint8_t* source, const int32_t* offsets) {
  const __m128i a = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(source + offsets[0]));
  const __m128i b = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(source + offsets[1]));
  return _mm_unpacklo_epi64(a, b);
}

/// Four levels as doubles.
BALEEN_AVX2 inline __m256d four_levels(const uint8_t* in) {
  int32_t bytes;
  std::memcpy(&bytes, in, sizeof bytes);
  return _mm256_cvtepi32_pd(_mm_cvtepu8_epi32(_mm_cvtsi32_si128(bytes)));
}

struct FourLines {
  __m256d gain, offset, scale, shift;
};

/// The lines of four values in a row, the first of which belongs to channel `first` of `channels`.
BALEEN_AVX2 inline FourLines four_lines(const Line* lines, int channels, int first, bool plain) {
  alignas(32) double v[4][4];
  for (int i = 0; i < 4; ++i) {
    const Line& line = lines[(first + i) % channels];
    v[0][i] = plain ? line.gain * line.scale : line.gain;
    v[1][i] = line.offset;
    v[2][i] = line.scale;
    v[3][i] = line.shift;
  }
  return {_mm256_load_pd(v[0]), _mm256_load_pd(v[1]), _mm256_load_pd(v[2]), _mm256_load_pd(v[3])};
}

template <bool kPlain>
BALEEN_AVX2 inline __m128 mapped(const uint8_t* in, const FourLines& lines) {
  __m256d value = _mm256_mul_pd(four_levels(in), lines.gain);
  if constexpr (!kPlain) {
    value = _mm256_add_pd(value, lines.offset);
    value = _mm256_min_pd(_mm256_max_pd(value, _mm256_setzero_pd()), _mm256_set1_pd(1.0));
    value = _mm256_mul_pd(value, lines.scale);
  }
  return _mm256_cvtpd_ps(_mm256_add_pd(value, lines.shift));
}

/// kChannels 1: one line for all values; 3: three lines in turn.
template <bool kPlain, int kChannels>
BALEEN_AVX2 void map(const uint8_t* in, int64_t count, const Line* lines, float* out) {
  const FourLines first = four_lines(lines, kChannels, 0, kPlain);
  const FourLines second = four_lines(lines, kChannels, 4 % kChannels, kPlain);
  const FourLines third = four_lines(lines, kChannels, 8 % kChannels, kPlain);
  int64_t i = 0;
  for (; i + 12 <= count; i += 12) {
    _mm_storeu_ps(out + i, mapped<kPlain>(in + i, first));
    _mm_storeu_ps(out + i + 4, mapped<kPlain>(in + i + 4, second));
    _mm_storeu_ps(out + i + 8, mapped<kPlain>(in + i + 8, third));
  }
  // The rest through a buffer of a whole turn: nothing is read or written beyond the end.
  uint8_t last_in[12] = {};
  float last_out[12];
  const int64_t rest = count - i;
  if (rest <= 0) return;
  std::copy_n(in + i, rest, last_in);
  _mm_storeu_ps(last_out, mapped<kPlain>(last_in, first));
  _mm_storeu_ps(last_out + 4, mapped<kPlain>(last_in + 4, second));
  _mm_storeu_ps(last_out + 8, mapped<kPlain>(last_in + 8, third));
  std::copy_n(last_out, rest, out + i);
}

/// Shuffle that gathers channel c of 16 pixels from the part-th 16 of their 48 bytes.
BALEEN_AVX2 inline __m128i split_mask(int c, int part) {
  alignas(16) uint8_t mask[16];
  for (int i = 0; i < 16; ++i) {
    const int byte = 3 * i + c - 16 * part;
    mask[i] = byte >= 0 && byte < 16 ? static_cast<uint8_t>(byte) : uint8_t{0x80};
  }
  return _mm_load_si128(reinterpret_cast<const __m128i*>(mask));
}

}  // namespace

bool available() { return __builtin_cpu_supports("avx2") != 0; }

bool wide_available() {
  return available() && __builtin_cpu_supports("avx512f") != 0 &&
         __builtin_cpu_supports("avx512bw") != 0 && __builtin_cpu_supports("avx512vbmi") != 0;
}

BALEEN_AVX2 void resize_row(const uint8_t* source, const int32_t* offsets, const uint8_t* masks,
                            const int16_t* weights, int64_t num_pairs, int64_t tap_pairs,
                            int16_t* out) {
  const __m256i half = _mm256_set1_epi32(1 << 6);
  for (int64_t p = 0; p < num_pairs; ++p) {
    __m256i sum = half;
    for (int64_t j = 0; j < tap_pairs; ++j, offsets += 4, masks += 32, weights += 16) {
      __m256i bytes = _mm256_set_m128i(load_two(source, offsets + 2), load_two(source, offsets));
      const __m256i mask = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(masks));
      const __m256i weight = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights));
      bytes = _mm256_shuffle_epi8(bytes, mask);  // zero-extends: every other byte is masked out
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(bytes, weight));
    }
    sum = _mm256_srai_epi32(sum, 7);
    const __m128i values =
        _mm_packs_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 8 * p), values);
  }
}

BALEEN_AVX2 void blend_rows(const int16_t* const* rows, const int16_t* weights, int64_t taps,
                            int64_t count, uint8_t* out) {
  const __m256i half = _mm256_set1_epi32(1 << 20);
  for (int64_t i = 0; i < count; i += 16) {
    __m256i low = half;
    __m256i high = half;
    for (int64_t t = 0; t < taps; t += 2) {
      int32_t two;
      std::memcpy(&two, weights + t, sizeof two);
      const __m256i weight = _mm256_set1_epi32(two);
      const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows[t] + i));
      const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows[t + 1] + i));
      low = _mm256_add_epi32(low, _mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), weight));
      high = _mm256_add_epi32(high, _mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), weight));
    }
    const __m256i words =
        _mm256_packs_epi32(_mm256_srai_epi32(low, 21), _mm256_srai_epi32(high, 21));
    const __m128i bytes =
        _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i), bytes);
  }
}

BALEEN_AVX512 void resize_row_wide(const uint8_t* source, const int32_t* offsets,
                                   const uint8_t* indices, const int16_t* weights,
                                   int64_t num_groups, int64_t tap_pairs, int16_t* out) {
  constexpr __mmask64 kEveryOther = 0x5555555555555555;  // widens bytes to 16 bits
  const __m512i half = _mm512_set1_epi32(1 << 6);
  for (int64_t g = 0; g < num_groups; ++g) {
    __m512i sum = half;
    for (int64_t j = 0; j < tap_pairs; ++j, ++offsets, indices += 64, weights += 32) {
      const __m512i bytes = _mm512_maskz_permutexvar_epi8(kEveryOther, _mm512_loadu_si512(indices),
                                                          _mm512_loadu_si512(source + *offsets));
      sum = _mm512_add_epi32(sum, _mm512_madd_epi16(bytes, _mm512_loadu_si512(weights)));
    }
    const __m256i values = _mm512_cvtsepi32_epi16(_mm512_srai_epi32(sum, 7));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 16 * g), values);
  }
}

BALEEN_AVX512 void blend_rows_wide(const int16_t* const* rows, const int16_t* weights, int64_t taps,
                                   int64_t count, uint8_t* out) {
  const __m512i half = _mm512_set1_epi32(1 << 20);
  for (int64_t i = 0; i < count; i += 32) {
    __m512i low = half;
    __m512i high = half;
    for (int64_t t = 0; t < taps; t += 2) {
      int32_t two;
      std::memcpy(&two, weights + t, sizeof two);
      const __m512i weight = _mm512_set1_epi32(two);
      const __m512i a = _mm512_loadu_si512(rows[t] + i);
      const __m512i b = _mm512_loadu_si512(rows[t + 1] + i);
      low = _mm512_add_epi32(low, _mm512_madd_epi16(_mm512_unpacklo_epi16(a, b), weight));
      high = _mm512_add_epi32(high, _mm512_madd_epi16(_mm512_unpackhi_epi16(a, b), weight));
    }
    const __m512i words =
        _mm512_packs_epi32(_mm512_srai_epi32(low, 21), _mm512_srai_epi32(high, 21));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), _mm512_cvtusepi16_epi8(words));
  }
}

BALEEN_AVX2 void map_plain(const uint8_t* in, int64_t count, const Line& line, float* out) {
  map<true, 1>(in, count, &line, out);
}
BALEEN_AVX2 void map_clamped(const uint8_t* in, int64_t count, const Line& line, float* out) {
  map<false, 1>(in, count, &line, out);
}
BALEEN_AVX2 void map_plain_3(const uint8_t* in, int64_t count, const Line* lines, float* out) {
  map<true, 3>(in, count, lines, out);
}
BALEEN_AVX2 void map_clamped_3(const uint8_t* in, int64_t count, const Line* lines, float* out) {
  map<false, 3>(in, count, lines, out);
}

BALEEN_AVX2 void split_3(const uint8_t* in, int64_t pixels, uint8_t* plane0, uint8_t* plane1,
                         uint8_t* plane2) {
  uint8_t* const planes[3] = {plane0, plane1, plane2};
  __m128i masks[3][3];
  for (int c = 0; c < 3; ++c)
    for (int part = 0; part < 3; ++part) masks[c][part] = split_mask(c, part);
  int64_t x = 0;
  for (; x + 16 <= pixels; x += 16) {
    const auto* from = reinterpret_cast<const __m128i*>(in + 3 * x);
    const __m128i parts[3] = {_mm_loadu_si128(from), _mm_loadu_si128(from + 1),
                              _mm_loadu_si128(from + 2)};
    for (int c = 0; c < 3; ++c) {
      const __m128i plane = _mm_or_si128(_mm_or_si128(_mm_shuffle_epi8(parts[0], masks[c][0]),
                                                      _mm_shuffle_epi8(parts[1], masks[c][1])),
                                         _mm_shuffle_epi8(parts[2], masks[c][2]));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(planes[c] + x), plane);
    }
  }
  for (; x < pixels; ++x)
    for (int c = 0; c < 3; ++c) planes[c][x] = in[3 * x + c];
}

BALEEN_AVX2 void reverse_3(const uint8_t* in, int64_t pixels, uint8_t* out) {
  // Five pixels at a time. The sixteenth byte that comes along lies before them, in pixels that are
  // read, and after them in the output, where the step before has written its own: keep it out.
  const __m128i mask =
      _mm_setr_epi8(13, 14, 15, 10, 11, 12, 7, 8, 9, 4, 5, 6, 1, 2, 3, static_cast<char>(0x80));
  int64_t done = 0;
  // From the end of the input to the start; each store's last byte is overwritten by the next.
  for (; done + 6 <= pixels; done += 5) {
    const uint8_t* from = in + 3 * (pixels - done) - 16;
    const __m128i five =
        _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)), mask);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 3 * done), five);
  }
  for (; done < pixels; ++done) std::copy_n(in + 3 * (pixels - 1 - done), 3, out + 3 * done);
}

}  // namespace baleen::kernels

#else

#include <cstdlib>

namespace baleen::kernels {

// No vector kernels for this processor: nobody calls the others.
bool available() { return false; }
void resize_row(const uint8_t*, const int32_t*, const uint8_t*, const int16_t*, int64_t, int64_t,
                int16_t*) {
  std::abort();
}
bool wide_available() { return false; }
void resize_row_wide(const uint8_t*, const int32_t*, const uint8_t*, const int16_t*, int64_t,
                     int64_t, int16_t*) {
  std::abort();
}
void blend_rows(const int16_t* const*, const int16_t*, int64_t, int64_t, uint8_t*) { std::abort(); }
void blend_rows_wide(const int16_t* const*, const int16_t*, int64_t, int64_t, uint8_t*) {
  std::abort();
}
void map_plain(const uint8_t*, int64_t, const Line&, float*) { std::abort(); }
void map_clamped(const uint8_t*, int64_t, const Line&, float*) { std::abort(); }
void map_plain_3(const uint8_t*, int64_t, const Line*, float*) { std::abort(); }
void map_clamped_3(const uint8_t*, int64_t, const Line*, float*) { std::abort(); }
void split_3(const uint8_t*, int64_t, uint8_t*, uint8_t*, uint8_t*) { std::abort(); }
void reverse_3(const uint8_t*, int64_t, uint8_t*) { std::abort(); }

}  // namespace baleen::kernels

#endif
