#include "data/augment/resample.h"

#include <algorithm>
#include <cmath>

#include "data/augment/vector_kernels.h"

namespace baleen {
namespace {

constexpr int64_t kPartsOfPixel = 64;  // edges are rounded to these
constexpr int kRowBits = 7;            // extra bits of a row between the two passes
constexpr int64_t kQuad = 4;           // values that the AVX2 kernel makes from two loads
constexpr int64_t kGroup = 16;         // values that the AVX-512 kernel makes from one load
constexpr int64_t kPadding = 32;       // rows between the passes have whole vectors

int64_t rounded_up(int64_t value, int64_t step) { return (value + step - 1) / step * step; }

// Weights of one output in units that sum to `total`, as 14-bit fractions. Running totals are
// rounded, not the weights, so that the fractions sum to one exactly and no error accumulates.
void to_fractions(const int64_t* parts, int64_t count, int64_t total, int16_t* weights) {
  constexpr int64_t kOne = int64_t{1} << AxisPlan::kWeightBits;
  int64_t sum = 0;
  int64_t before = 0;
  for (int64_t t = 0; t < count; ++t) {
    sum += parts[t];
    const int64_t after = (sum * kOne + total / 2) / total;
    weights[t] = static_cast<int16_t>(after - before);
    before = after;
  }
}

/// Where a load begins that serves these values: at the lowest of them, as far as the row allows.
template <class Value>
int64_t load_offset(const Value* begin, const Value* end, int64_t shift, int64_t last) {
  const Value* const lowest = std::min_element(
      begin, end, [](const Value& a, const Value& b) { return a.position < b.position; });
  return std::clamp<int64_t>(lowest->position + shift, 0, last);
}

}  // namespace

bool has_vector_kernels() { return kernels::available(); }

void AxisPlan::assign(int64_t size, double from, double length, int64_t outputs) {
  // Everything in units of 1 / (64 · outputs) pixel.
  const int64_t edge = std::llround(from * kPartsOfPixel);
  const int64_t stretch = std::max<int64_t>(1, std::llround(length * kPartsOfPixel));
  const int64_t pixel = kPartsOfPixel * outputs;
  begin = std::clamp<int64_t>(edge / kPartsOfPixel, 0, size - 1);
  end = std::clamp((edge + stretch + kPartsOfPixel - 1) / kPartsOfPixel, begin + 1, size);
  const bool shrinks = stretch > pixel;
  // A stretch of s pixels touches at most ⌈s⌉ + 1 of them.
  taps = shrinks ? rounded_up((stretch + pixel - 1) / pixel + 1, 2) : 2;
  first.resize(static_cast<size_t>(outputs));
  weights.assign(static_cast<size_t>(outputs * taps), 0);
  std::vector<int64_t> parts(static_cast<size_t>(taps));
  for (int64_t o = 0; o < outputs; ++o) {
    int16_t* const of_output = weights.data() + o * taps;
    int64_t& start = first[static_cast<size_t>(o)];
    if (shrinks) {
      const int64_t low = edge * outputs + o * stretch;
      const int64_t high = low + stretch;
      start = std::min(low / pixel, end - 1);
      int64_t covered = 0;  // the whole stretch, but for the rounding of a box's edges
      for (int64_t t = 0; t < taps; ++t) {
        const int64_t left = std::max(low, (start + t) * pixel);
        const int64_t right = std::min(high, (start + t + 1) * pixel);
        parts[static_cast<size_t>(t)] = start + t < end ? std::max<int64_t>(0, right - left) : 0;
        covered += parts[static_cast<size_t>(t)];
      }
      to_fractions(parts.data(), taps, covered, of_output);
    } else {
      // Twice the distance of the output's centre from the centre of pixel 0.
      const int64_t centre = 2 * edge * outputs + (2 * o + 1) * stretch - pixel;
      start = centre < 0 ? begin - 1 : centre / (2 * pixel);
      int64_t rest = centre < 0 ? 0 : centre % (2 * pixel);
      if (start < begin) start = begin, rest = 0;
      if (start >= end - 1) start = end - 1, rest = 0;
      constexpr int64_t kOne = int64_t{1} << kWeightBits;
      of_output[0] = static_cast<int16_t>(((2 * pixel - rest) * kOne + pixel) / (2 * pixel));
      of_output[1] = static_cast<int16_t>(kOne - of_output[0]);
    }
  }
}

Resampler::Resampler(Kernels kernels)
    : vector_(kernels != Kernels::kPortable && kernels::available()),
      wide_(kernels == Kernels::kBest && kernels::wide_available()) {}

void Resampler::list_values(int64_t channels, bool reverse_columns) {
  const int64_t width = static_cast<int64_t>(columns_.first.size());
  values_.clear();
  for (int64_t x = 0; x < width; ++x) {
    const int64_t source_x = reverse_columns ? width - 1 - x : x;
    const int64_t start =
        (columns_.first[static_cast<size_t>(source_x)] - columns_.begin) * channels;
    for (int64_t c = 0; c < channels; ++c)
      values_.push_back(
          {start + c, columns_.weights.data() + source_x * columns_.taps, channels - c});
  }
}

// Mask and weights of one value's two taps, which are read by a load of `load_bytes` bytes from
// `offset` on, whose first byte has the index `first_index` in the kernel's register. False where
// they lie beyond it.
bool Resampler::add_taps(size_t entry, int64_t value, int64_t in_entry, int64_t pair,
                         int64_t channels, int64_t load_bytes, int64_t offset,
                         int64_t first_index) {
  const int64_t per_entry = row_kernel_ == RowKernel::kQuads ? kQuad : kGroup;
  const RowValue& v = values_[static_cast<size_t>(value)];
  for (int64_t t = 0; t < 2; ++t) {
    const int16_t weight = v.taps[2 * pair + t];
    if (weight == 0) continue;
    const int64_t at = v.position + (2 * pair + t) * channels - offset;
    if (at < 0 || at >= load_bytes) return false;
    const size_t tap =
        entry * static_cast<size_t>(2 * per_entry) + static_cast<size_t>(2 * in_entry + t);
    masks_[2 * tap] = static_cast<uint8_t>(at + first_index);
    mask_weights_[tap] = weight;
  }
  return true;
}

// Lays out loads, shuffles and weights for the AVX2 kernel. False where a quad's source pixels lie
// too far apart for its two loads of eight bytes.
bool Resampler::plan_quads(int64_t channels) {
  row_kernel_ = RowKernel::kQuads;
  const int64_t row_bytes = (columns_.end - columns_.begin) * channels;
  const auto num_values = static_cast<int64_t>(values_.size());
  const int64_t tap_pairs = columns_.taps / 2;
  const int64_t num_quads = rounded_up(num_values, 2 * kQuad) / kQuad;
  constexpr int64_t kLoad = 8;
  if (row_bytes < kLoad) return false;
  const auto entries = static_cast<size_t>(num_quads * tap_pairs);
  load_offsets_.assign(entries * 2, 0);
  masks_.assign(entries * 4 * kQuad, 0x80);
  mask_weights_.assign(entries * 2 * kQuad, 0);
  for (int64_t q = 0; q * kQuad < num_values; ++q) {
    const int64_t first = q * kQuad;
    const int64_t count = std::min(kQuad, num_values - first);
    const RowValue* const values = values_.data() + first;
    // The first load serves the values of the first pixel, or of the first two where there is one
    // channel; the second load the others.
    const int64_t num_a = std::min(count, channels == 1 ? int64_t{2} : values[0].channels_left);
    for (int64_t j = 0; j < tap_pairs; ++j) {
      // Two quads at a time share a register: they lie side by side for each pair of taps.
      const auto entry = static_cast<size_t>((q / 2 * tap_pairs + j) * 2 + q % 2);
      for (int64_t part = 0; part < 2; ++part) {
        const int64_t begin = part == 0 ? 0 : num_a;
        const int64_t end = part == 0 ? num_a : count;
        if (begin >= end) continue;
        const int64_t offset =
            load_offset(values + begin, values + end, 2 * j * channels, row_bytes - kLoad);
        load_offsets_[2 * entry + static_cast<size_t>(part)] = static_cast<int32_t>(offset);
        for (int64_t k = begin; k < end; ++k)
          if (!add_taps(entry, first + k, k, j, channels, kLoad, offset, part * kLoad))
            return false;
      }
    }
  }
  return true;
}

// The same for the AVX-512 kernel, with one load of 64 bytes for sixteen values.
bool Resampler::plan_groups(int64_t channels) {
  row_kernel_ = RowKernel::kGroups;
  const int64_t row_bytes = (columns_.end - columns_.begin) * channels;
  const auto num_values = static_cast<int64_t>(values_.size());
  const int64_t tap_pairs = columns_.taps / 2;
  const int64_t num_groups = rounded_up(num_values, kGroup) / kGroup;
  constexpr int64_t kLoad = 64;
  if (row_bytes < kLoad) return false;
  const auto entries = static_cast<size_t>(num_groups * tap_pairs);
  load_offsets_.assign(entries, 0);
  masks_.assign(entries * 4 * kGroup, 0);
  mask_weights_.assign(entries * 2 * kGroup, 0);
  for (int64_t g = 0; g < num_groups; ++g) {
    const int64_t first = g * kGroup;
    const int64_t count = std::min(kGroup, num_values - first);
    for (int64_t j = 0; j < tap_pairs; ++j) {
      const auto entry = static_cast<size_t>(g * tap_pairs + j);
      const int64_t offset = load_offset(values_.data() + first, values_.data() + first + count,
                                         2 * j * channels, row_bytes - kLoad);
      load_offsets_[entry] = static_cast<int32_t>(offset);
      for (int64_t k = 0; k < count; ++k)
        if (!add_taps(entry, first + k, k, j, channels, kLoad, offset, 0)) return false;
    }
  }
  return true;
}

// One source row, from its first pixel that may be read, resized along its length.
void Resampler::make_row(const uint8_t* source, int64_t channels, bool reverse_columns,
                         int16_t* out) const {
  const auto num_loads = static_cast<int64_t>(load_offsets_.size());
  if (row_kernel_ == RowKernel::kGroups) {
    kernels::resize_row_wide(source, load_offsets_.data(), masks_.data(), mask_weights_.data(),
                             num_loads / (columns_.taps / 2), columns_.taps / 2, out);
    return;
  }
  if (row_kernel_ == RowKernel::kQuads) {
    kernels::resize_row(source, load_offsets_.data(), masks_.data(), mask_weights_.data(),
                        num_loads / (2 * columns_.taps), columns_.taps / 2, out);
    return;
  }
  const int64_t width = static_cast<int64_t>(columns_.first.size());
  const int64_t last = columns_.end - columns_.begin - 1;
  constexpr int kShift = AxisPlan::kWeightBits - kRowBits;
  for (int64_t x = 0; x < width; ++x) {
    const int64_t source_x = reverse_columns ? width - 1 - x : x;
    const int64_t start = columns_.first[static_cast<size_t>(source_x)] - columns_.begin;
    const int16_t* weights = columns_.weights.data() + source_x * columns_.taps;
    const int64_t count = std::min(columns_.taps, last - start + 1);
    for (int64_t c = 0; c < channels; ++c) {
      int32_t sum = 1 << (kShift - 1);
      const uint8_t* in = source + start * channels + c;
      for (int64_t t = 0; t < count; ++t) sum += weights[t] * in[t * channels];
      *out++ = static_cast<int16_t>(sum >> kShift);
    }
  }
}

void Resampler::resize(const ImageView& image, const RealBox& box, int64_t height, int64_t width,
                       bool reverse_rows, bool reverse_columns, uint8_t* out) {
  const int64_t channels = image.channels;
  rows_.assign(image.height, box.top, box.height, height);
  columns_.assign(image.width, box.left, box.width, width);
  if (vector_) list_values(channels, reverse_columns);
  if (!(wide_ && plan_groups(channels)) && !(vector_ && plan_quads(channels)))
    row_kernel_ = RowKernel::kPortable;

  const int64_t values = width * channels;
  const int64_t padded = rounded_up(values, kPadding);
  const int64_t slots = rows_.taps + 1;
  ring_.resize(static_cast<size_t>(slots * padded));
  tap_rows_.resize(static_cast<size_t>(rows_.taps));
  last_row_.resize(static_cast<size_t>(padded));
  const uint8_t* const source = image.pixels + columns_.begin * channels;
  const int64_t source_stride = image.width * channels;
  int64_t next = rows_.begin;  // first row that is not in the ring yet
  for (int64_t y = 0; y < height; ++y) {
    const int64_t start = rows_.first[static_cast<size_t>(y)];
    next = std::max(next, start);
    for (; next < std::min(start + rows_.taps, rows_.end); ++next)
      make_row(source + next * source_stride, channels, reverse_columns,
               ring_.data() + next % slots * padded);
    for (int64_t t = 0; t < rows_.taps; ++t)
      tap_rows_[static_cast<size_t>(t)] =
          ring_.data() + std::min(start + t, rows_.end - 1) % slots * padded;
    const int16_t* weights = rows_.weights.data() + y * rows_.taps;
    const int64_t target_y = reverse_rows ? height - 1 - y : y;
    uint8_t* const target = out + target_y * values;
    if (vector_) {
      // Whole vectors are written: where the row is no whole number of them, beside it first.
      uint8_t* const whole = padded == values ? target : last_row_.data();
      (wide_ ? kernels::blend_rows_wide : kernels::blend_rows)(tap_rows_.data(), weights,
                                                               rows_.taps, values, whole);
      if (whole != target) std::copy_n(whole, values, target);
      continue;
    }
    constexpr int kShift = AxisPlan::kWeightBits + kRowBits;
    for (int64_t i = 0; i < values; ++i) {
      int32_t sum = 1 << (kShift - 1);
      for (int64_t t = 0; t < rows_.taps; ++t)
        sum += weights[t] * tap_rows_[static_cast<size_t>(t)][i];
      target[i] = static_cast<uint8_t>(sum >> kShift);
    }
  }
}

}  // namespace baleen
