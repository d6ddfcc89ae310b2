#include "core/losses/metric/slices.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/base/error.h"

namespace baleen {

ColumnRange slice_of(int64_t dimension, int64_t slice, int64_t num_slices) {
  const int64_t width = (dimension + num_slices - 1) / num_slices;
  const ColumnRange range{slice * width, std::min(dimension, (slice + 1) * width)};
  if (range.size() < 1)
    throw Error(ErrorKind::kConfiguration,
                fmt::format("an embedding of {} numbers can't be cut into {} slices of {}",
                            dimension, num_slices, width),
                "take fewer learners or a longer embedding");
  return range;
}

at::Tensor unit_slices(const at::Tensor& rows_ND, int64_t num_slices) {
  std::vector<at::Tensor> slices;
  for (int64_t k = 0; k < num_slices; ++k) {
    const ColumnRange columns = slice_of(rows_ND.size(1), k, num_slices);
    const at::Tensor slice = rows_ND.narrow(1, columns.first, columns.size());
    slices.push_back(slice / slice.norm(2, 1, /*keepdim=*/true).clamp_min(1e-12));
  }
  if (num_slices == 1) return slices.front();
  return at::cat(slices, 1) / std::sqrt(static_cast<double>(num_slices));
}

}  // namespace baleen
