#include "data/augment/d4.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>

#include "core/base/error.h"

namespace baleen {
namespace {

constexpr std::array<std::string_view, 8> kNames = {"identity", "flip_horizontal", "flip_vertical",
                                                    "rot180",   "transpose",       "rot270",
                                                    "rot90",    "anti_transpose"};

constexpr D4 from_bits(bool transpose, bool rows, bool columns) {
  return static_cast<D4>((transpose ? 4 : 0) | (rows ? 2 : 0) | (columns ? 1 : 0));
}

}  // namespace

D4 inverse(D4 g) {
  // Undoing reversals and then a transposition is transposing and then reversing the other axis.
  return transposes(g) ? from_bits(true, reverses_columns(g), reverses_rows(g)) : g;
}

D4 compose(D4 first, D4 second) {
  const bool rows = transposes(second) ? reverses_columns(first) : reverses_rows(first);
  const bool columns = transposes(second) ? reverses_rows(first) : reverses_columns(first);
  return from_bits(transposes(first) != transposes(second), rows != reverses_rows(second),
                   columns != reverses_columns(second));
}

std::string_view name_of(D4 g) { return kNames[static_cast<size_t>(g)]; }

D4 d4_from_name(std::string_view name) {
  for (D4 g : kAllD4)
    if (name_of(g) == name) return g;
  std::string known;
  for (std::string_view each : kNames) known += (known.empty() ? "" : ", ") + std::string(each);
  throw Error(ErrorKind::kConfiguration, fmt::format("unknown symmetry '{}'", name),
              "known: " + known + ", and d4 for all, none for the image itself");
}

std::vector<D4> d4_views(const std::vector<std::string>& names) {
  std::vector<D4> views;
  const auto add = [&](D4 g) {
    if (std::find(views.begin(), views.end(), g) == views.end()) views.push_back(g);
  };
  for (const std::string& name : names) {
    if (name == "d4") {
      std::for_each(kAllD4.begin(), kAllD4.end(), add);
    } else {
      add(name == "none" ? D4::kIdentity : d4_from_name(name));
    }
  }
  if (views.empty()) views.push_back(D4::kIdentity);
  return views;
}

D4Walk d4_walk(D4 g, int64_t height, int64_t width, int64_t row_stride, int64_t column_stride) {
  D4Walk walk{.height = height,
              .width = width,
              .offset = 0,
              .row_stride = row_stride,
              .column_stride = column_stride};
  if (transposes(g)) {
    std::swap(walk.height, walk.width);
    std::swap(walk.row_stride, walk.column_stride);
  }
  if (reverses_rows(g)) {
    walk.offset += (walk.height - 1) * walk.row_stride;
    walk.row_stride = -walk.row_stride;
  }
  if (reverses_columns(g)) {
    walk.offset += (walk.width - 1) * walk.column_stride;
    walk.column_stride = -walk.column_stride;
  }
  return walk;
}

void apply_d4(const ImageView& image, D4 g, uint8_t* out) {
  const D4Walk walk =
      d4_walk(g, image.height, image.width, image.width * image.channels, image.channels);
  for (int64_t y = 0; y < walk.height; ++y) {
    const uint8_t* row = image.pixels + walk.offset + y * walk.row_stride;
    for (int64_t x = 0; x < walk.width; ++x, out += image.channels)
      std::copy_n(row + x * walk.column_stride, image.channels, out);
  }
}

at::Tensor apply_d4(const at::Tensor& images_NCHW, D4 g) {
  if (g == D4::kIdentity) return images_NCHW;
  at::Tensor view = transposes(g) ? images_NCHW.transpose(-2, -1) : images_NCHW;
  std::vector<int64_t> reversed;
  if (reverses_rows(g)) reversed.push_back(-2);
  if (reverses_columns(g)) reversed.push_back(-1);
  if (!reversed.empty()) view = view.flip(reversed);
  return view.contiguous(images_NCHW.suggest_memory_format());
}

}  // namespace baleen
