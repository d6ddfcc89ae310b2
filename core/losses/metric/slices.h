#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "core/losses/metric/embedding_loss.h"

namespace baleen {

/// Columns of slice k of K: ceil(D / K) each, the last one what is left.
/// @throws Error kConfiguration when a slice would be empty.
ColumnRange slice_of(int64_t dimension, int64_t slice, int64_t num_slices);

/// Each of K slices of every row brought to unit length and divided by sqrt(K), [N, D]: all slices
/// weigh the same, the whole has length 1. Differentiable.
at::Tensor unit_slices(const at::Tensor& rows_ND, int64_t num_slices);

}  // namespace baleen
