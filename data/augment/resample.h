#pragma once

#include <cstdint>
#include <vector>

#include "data/packed_dataset.h"

namespace baleen {

/// Whether the processor's vector instructions may be used. The results are the same bits.
enum class Kernels {
  kBest,      ///< AVX-512 with VBMI, else AVX2, where the processor has it
  kAvx2,      ///< AVX2 at most
  kPortable,  ///< plain C++, as on other processors
};

/// Whether Kernels::kBest differs from kPortable on this machine.
bool has_vector_kernels();

/// How the output positions along one axis are made of source positions: weighted sums of `taps`
/// neighbours.
///
/// Along an axis that shrinks, an output pixel is the mean of the stretch that it covers (area
/// averaging); along one that grows, neighbours are interpolated linearly between pixel centres,
/// the last one repeated. Computed in integers from edges rounded to 1/64 pixel, so that every
/// machine gets the same weights.
struct AxisPlan {
  static constexpr int kWeightBits = 14;  ///< weights of one output sum to 2^14 exactly
  int64_t begin = 0;                      ///< first source position that may be read
  int64_t end = 0;                        ///< one past the last
  int64_t taps = 0;                       ///< even
  std::vector<int64_t> first;             ///< per output: source position of its first weight
  std::vector<int16_t> weights;  ///< per output: `taps`; 0 for positions outside [begin, end)

  /// @param size  source positions there are; the stretch [from, from + length) lies within
  void assign(int64_t size, double from, double length, int64_t outputs);
};

/// Crops, resizes and mirrors 8-bit images in one go. Keeps its memory from image to image; one per
/// thread.
///
/// Separable, first along rows, in fixed-point arithmetic: the result differs from the exact one by
/// at most 0.52 levels.
class Resampler {
 public:
  explicit Resampler(Kernels kernels = Kernels::kBest);

  /// Writes the box of `image` as height × width × channels bytes to `out`; then the rows or
  /// columns of the result are in reverse order where asked for. The box is not empty and lies
  /// within the image.
  void resize(const ImageView& image, const RealBox& box, int64_t height, int64_t width,
              bool reverse_rows, bool reverse_columns, uint8_t* out);

 private:
  /// One value of an output row: where its first tap lies, in bytes from the first pixel that may
  /// be read, and the weights of its taps.
  struct RowValue {
    int64_t position = 0;
    const int16_t* taps = nullptr;
    int64_t channels_left = 0;  ///< values of the same pixel from this one on
  };
  enum class RowKernel { kPortable, kQuads, kGroups };
  void list_values(int64_t channels, bool reverse_columns);
  bool plan_quads(int64_t channels);
  bool plan_groups(int64_t channels);
  bool add_taps(size_t entry, int64_t value, int64_t in_entry, int64_t pair, int64_t channels,
                int64_t load_bytes, int64_t offset, int64_t first_index);
  void make_row(const uint8_t* source, int64_t channels, bool reverse_columns, int16_t* out) const;

  bool vector_;
  bool wide_;
  AxisPlan rows_;
  AxisPlan columns_;
  std::vector<RowValue> values_;
  RowKernel row_kernel_ = RowKernel::kPortable;
  /// What the row kernel loads: for quads of values, two loads of eight bytes each, in the order
  /// [pair of quads][pair of taps][quad of the pair]; for groups of sixteen values, one of 64 bytes
  /// each, [group][pair of taps]. Masks and weights have 4 bytes and 2 numbers per value of each.
  std::vector<int32_t> load_offsets_;
  std::vector<uint8_t> masks_;
  std::vector<int16_t> mask_weights_;
  std::vector<int16_t> ring_;  ///< the last source rows, resized along their length, times 128
  std::vector<const int16_t*> tap_rows_;
  std::vector<uint8_t> last_row_;
};

}  // namespace baleen
