#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/packed_dataset.h"

namespace baleen {

/// The eight symmetries of a square. The value's bits say what is done, in this order: transpose
/// (4), then reverse the rows (2), then reverse the columns (1). rot90 turns counter-clockwise, as
/// numpy and torch do.
enum class D4 : uint8_t {
  kIdentity = 0,
  kFlipHorizontal = 1,  ///< columns reversed
  kFlipVertical = 2,    ///< rows reversed
  kRot180 = 3,
  kTranspose = 4,
  kRot270 = 5,
  kRot90 = 6,
  kAntiTranspose = 7,
};

inline constexpr std::array<D4, 8> kAllD4 = {D4::kIdentity, D4::kFlipHorizontal, D4::kFlipVertical,
                                             D4::kRot180,   D4::kTranspose,      D4::kRot270,
                                             D4::kRot90,    D4::kAntiTranspose};

constexpr bool transposes(D4 g) { return (static_cast<uint8_t>(g) & 4) != 0; }
constexpr bool reverses_rows(D4 g) { return (static_cast<uint8_t>(g) & 2) != 0; }
constexpr bool reverses_columns(D4 g) { return (static_cast<uint8_t>(g) & 1) != 0; }

/// The element that undoes g.
D4 inverse(D4 g);
/// The element that does `first`, then `second`.
D4 compose(D4 first, D4 second);

/// "identity", "flip_horizontal", "flip_vertical", "rot180", "transpose", "rot270", "rot90",
/// "anti_transpose".
std::string_view name_of(D4 g);
/// @throws Error kConfiguration for an unknown name, listing the known ones.
D4 d4_from_name(std::string_view name);

/// The views of a test-time augmentation: element names, or "d4" for all eight, or "none" (or
/// nothing) for the image itself. Repeated elements count once.
/// @throws Error kConfiguration for an unknown name.
std::vector<D4> d4_views(const std::vector<std::string>& names);

/// How to read a source image of height × width, whose rows are `row_stride` and columns
/// `column_stride` apart, so that the result of g appears: out(y, x) = source[offset + y·row_stride
/// + x·column_stride].
struct D4Walk {
  int64_t height = 0;  ///< of the result
  int64_t width = 0;
  int64_t offset = 0;
  int64_t row_stride = 0;
  int64_t column_stride = 0;
};
D4Walk d4_walk(D4 g, int64_t height, int64_t width, int64_t row_stride, int64_t column_stride);

/// Writes g(image) to `out`, height·width·channels bytes, rows packed. A transposing g swaps height
/// and width.
void apply_d4(const ImageView& image, D4 g, uint8_t* out);

/// g applied to each image [N, C, H, W]: a new tensor in the same memory format, or the tensor
/// itself for the identity.
at::Tensor apply_d4(const at::Tensor& images_NCHW, D4 g);

}  // namespace baleen
