#include "experiments/stacking/columns.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "core/base/double_lanes.h"

namespace baleen {
namespace {

using lanes::broadcast, lanes::Doubles, lanes::kLanes, lanes::load, lanes::store;

// Outputs that are computed together for one group of rows: 4 x 4 sums, and what makes them, fill
// the registers of AVX-512.
constexpr int64_t kTile = 4;
constexpr int64_t kVectors = kRowGroup / kLanes;

BALEEN_INLINE double sum_of_lanes(const Doubles& values) {
  return ((values[0] + values[1]) + (values[2] + values[3])) +
         ((values[4] + values[5]) + (values[6] + values[7]));
}

/// A tile's products with one group of rows, of the inputs or of their squares.
template <bool kSquares>
BALEEN_INLINE void multiply(const double* tile, const Columns& x, int64_t row,
                            Doubles (&sums)[kTile][kVectors]) {
#pragma GCC unroll 16
  for (int64_t o = 0; o < kTile; ++o)
#pragma GCC unroll 4
    for (int64_t v = 0; v < kVectors; ++v) sums[o][v] = Doubles{};
  const double* from = x.data + row;
  for (int64_t d = 0; d < x.count; ++d, from += x.stride, tile += kTile) {
    Doubles inputs[kVectors];
    for (int64_t v = 0; v < kVectors; ++v) {
      inputs[v] = load(from + v * kLanes);
      if (kSquares) inputs[v] *= inputs[v];
    }
#pragma GCC unroll 16
    for (int64_t o = 0; o < kTile; ++o)
#pragma GCC unroll 4
      for (int64_t v = 0; v < kVectors; ++v) sums[o][v] += broadcast(tile[o]) * inputs[v];
  }
}

template <bool kSquares>
BALEEN_INLINE void apply(const ColumnWeights& weights, const double* offset_O, const Columns& x,
                         const Columns& out) {
  const double* tile = weights.tiles();
  for (int64_t first = 0; first < weights.num_outputs(); first += kTile, tile += kTile * x.count) {
    const int64_t used = std::min(kTile, weights.num_outputs() - first);
    for (int64_t row = 0; row < x.rows; row += kRowGroup) {
      Doubles sums[kTile][kVectors];
      multiply<kSquares>(tile, x, row, sums);
      for (int64_t o = 0; o < used; ++o) {
        const Doubles offset = broadcast(offset_O ? offset_O[first + o] : 0);
        for (int64_t v = 0; v < kVectors; ++v)
          store(sums[o][v] + offset, out.column(first + o) + row + v * kLanes);
      }
    }
  }
}

}  // namespace

Columns columns_of(const at::Tensor& table_CP, int64_t rows) {
  return {table_CP.data_ptr<double>(), table_CP.size(0), rows, table_CP.size(1)};
}

void clear_padding(const Columns& columns) {
  for (int64_t c = 0; c < columns.count; ++c)
    std::fill(columns.column(c) + columns.rows, columns.column(c) + padded_rows(columns.rows), 0.0);
}

ColumnWeights::ColumnWeights(const at::Tensor& weights_OD) : num_outputs_(weights_OD.size(0)) {
  const int64_t num_inputs = weights_OD.size(1);
  const at::Tensor dense_OD = weights_OD.contiguous();
  const double* weights = dense_OD.const_data_ptr<double>();
  tiles_.resize(static_cast<size_t>((num_outputs_ + kTile - 1) / kTile * kTile * num_inputs));
  for (int64_t o = 0; o < num_outputs_; ++o) {
    double* tile = tiles_.data() + o / kTile * kTile * num_inputs + o % kTile;
    for (int64_t d = 0; d < num_inputs; ++d) tile[d * kTile] = weights[o * num_inputs + d];
  }
}

BALEEN_EACH_INSTRUCTION_SET
void subtract(const Columns& x, const double* offset_C, const Columns& out) {
  for (int64_t c = 0; c < x.count; ++c) {
    for (int64_t row = 0; row < x.rows; row += kLanes)
      store(load(x.column(c) + row) - offset_C[c], out.column(c) + row);
  }
  clear_padding(out);
}

BALEEN_EACH_INSTRUCTION_SET
void apply_columns(const ColumnWeights& weights, const double* offset_O, const Columns& x,
                   const Columns& out) {
  apply<false>(weights, offset_O, x, out);
}

BALEEN_EACH_INSTRUCTION_SET
void apply_to_squares(const ColumnWeights& weights, const Columns& x, const Columns& out) {
  apply<true>(weights, nullptr, x, out);
}

BALEEN_EACH_INSTRUCTION_SET
void scale_by_freedom(double of_mean, const Columns& leverage_A, double* most_taken_A) {
  for (int64_t a = 0; a < leverage_A.count; ++a) {
    double* values = leverage_A.column(a);
    Doubles most = broadcast(most_taken_A[a]);
    for (int64_t row = 0; row < padded_rows(leverage_A.rows); row += kLanes) {
      const Doubles taken = load(values + row) + of_mean;
      most = taken > most ? taken : most;
      store(1.0 / (1.0 - taken), values + row);
    }
    for (int64_t lane = 0; lane < kLanes; ++lane)
      most_taken_A[a] = std::max(most_taken_A[a], most[lane]);
  }
}

BALEEN_EACH_INSTRUCTION_SET
void add_squared_errors(const ColumnWeights& weights, const Columns& x, const Columns& y_K,
                        const Columns& scale_A, double* squares_AK) {
  const double* tile = weights.tiles();
  for (int64_t first = 0; first < weights.num_outputs(); first += kTile, tile += kTile * x.count) {
    const double* y[kTile];
    const double* scale[kTile];
    for (int64_t o = 0; o < kTile; ++o) {  // of the outputs that only fill the tile, the last
      const int64_t output = std::min(first + o, weights.num_outputs() - 1);
      y[o] = y_K.column(output % y_K.count);
      scale[o] = scale_A.column(output / y_K.count);
    }
    Doubles squares[kTile] = {};
    for (int64_t row = 0; row < x.rows; row += kRowGroup) {
      Doubles sums[kTile][kVectors];
      multiply<false>(tile, x, row, sums);
#pragma GCC unroll 16
      for (int64_t o = 0; o < kTile; ++o) {
#pragma GCC unroll 4
        for (int64_t v = 0; v < kVectors; ++v) {
          const int64_t at = row + v * kLanes;
          const Doubles error = (load(y[o] + at) - sums[o][v]) * load(scale[o] + at);
          squares[o] += error * error;
        }
      }
    }
    for (int64_t o = 0; o < kTile && first + o < weights.num_outputs(); ++o)
      squares_AK[first + o] += sum_of_lanes(squares[o]);
  }
}

BALEEN_EACH_INSTRUCTION_SET
void add_dots(const Columns& a, const Columns& b, bool symmetric, double* dots_AB) {
  for (int64_t i = 0; i < a.count; i += kTile) {
    for (int64_t j = 0; j < (symmetric ? i + 1 : b.count); j += kTile) {
      const double* left[kTile];
      const double* right[kTile];
      for (int64_t t = 0; t < kTile; ++t) {
        left[t] = a.column(std::min(i + t, a.count - 1));
        right[t] = b.column(std::min(j + t, b.count - 1));
      }
      Doubles sums[kTile][kTile] = {};
      for (int64_t row = 0; row < a.rows; row += kLanes) {
        Doubles others[kTile];
        for (int64_t t = 0; t < kTile; ++t) others[t] = load(right[t] + row);
        for (int64_t t = 0; t < kTile; ++t) {
          const Doubles one = load(left[t] + row);
          for (int64_t u = 0; u < kTile; ++u) sums[t][u] += one * others[u];
        }
      }
      for (int64_t t = 0; t < kTile && i + t < a.count; ++t) {
        for (int64_t u = 0; u < kTile && j + u < b.count; ++u) {
          const double dot = sum_of_lanes(sums[t][u]);
          dots_AB[(i + t) * b.count + j + u] += dot;
          if (symmetric && j < i) dots_AB[(j + u) * b.count + i + t] += dot;
        }
      }
    }
  }
}

BALEEN_EACH_INSTRUCTION_SET
void add_sums(const Columns& x, double* sums_C) {
  for (int64_t c = 0; c < x.count; ++c) {
    Doubles sum = {};
    for (int64_t row = 0; row < x.rows; row += kLanes) sum += load(x.column(c) + row);
    sums_C[c] += sum_of_lanes(sum);
  }
}

}  // namespace baleen
