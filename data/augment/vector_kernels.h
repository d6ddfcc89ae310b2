#pragma once

#include <cstdint>

namespace baleen::kernels {

/// Inner loops in AVX2. Each gives the same bits as the plain loop beside its caller; call them
/// only where available() says so.
bool available();
/// Whether the processor has AVX-512 with VBMI for those named _wide, too.
bool wide_available();

/// Values of one row resized along its length: out[8·p …] for each pair p of quads, see Resampler.
/// For each pair of quads and each of `tap_pairs`: four offsets (two per quad), 32 bytes of masks,
/// 16 weights.
void resize_row(const uint8_t* source, const int32_t* offsets, const uint8_t* masks,
                const int16_t* weights, int64_t num_pairs, int64_t tap_pairs, int16_t* out);

/// The same, sixteen values at a time from one load of 64 bytes: for each group and each of
/// `tap_pairs` one offset, 64 bytes of indices, of which every other counts, and 32 weights.
void resize_row_wide(const uint8_t* source, const int32_t* offsets, const uint8_t* indices,
                     const int16_t* weights, int64_t num_groups, int64_t tap_pairs, int16_t* out);

/// out[i] = (Σ_t weights[t] · rows[t][i] + 2^20) >> 21 for i below `count` rounded up to 16; rows
/// and out have room for that. `taps` is even.
void blend_rows(const int16_t* const* rows, const int16_t* weights, int64_t taps, int64_t count,
                uint8_t* out);
/// The same for `count` rounded up to 32.
void blend_rows_wide(const int16_t* const* rows, const int16_t* weights, int64_t taps,
                     int64_t count, uint8_t* out);

/// A straight line from levels to normalised values, clamped before the second step:
/// y = clamp(level · gain + offset, 0, 1) · scale + shift, in double precision, then rounded.
struct Line {
  double gain = 0;
  double offset = 0;
  double scale = 0;
  double shift = 0;
};

/// out[i] = line(in[i]) without the clamp and offset: y = level · (gain · scale) + shift.
void map_plain(const uint8_t* in, int64_t count, const Line& line, float* out);
/// out[i] = line(in[i]).
void map_clamped(const uint8_t* in, int64_t count, const Line& line, float* out);
/// The same for three interleaved channels, each with a line of its own; count is that of values.
void map_plain_3(const uint8_t* in, int64_t count, const Line* lines, float* out);
void map_clamped_3(const uint8_t* in, int64_t count, const Line* lines, float* out);

/// Splits `pixels` interleaved pixels of three channels into planes.
void split_3(const uint8_t* in, int64_t pixels, uint8_t* plane0, uint8_t* plane1, uint8_t* plane2);

/// Writes `pixels` pixels of three channels in reverse order.
void reverse_3(const uint8_t* in, int64_t pixels, uint8_t* out);

}  // namespace baleen::kernels
