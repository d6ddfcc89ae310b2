#include "experiments/stacking/columns.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "core/base/lanes.h"

namespace baleen {
namespace {

using lanes::broadcast, lanes::Doubles, lanes::kLanesOf, lanes::load, lanes::spill, lanes::store;

// Outputs that are computed together for one group of rows: their sums, and what makes them, fill
// the registers of AVX-512.
constexpr int64_t kTile = 4;
constexpr int64_t kLanes = kLanesOf<double>;
constexpr int64_t kVectors = kRowGroup / kLanes;

BALEEN_INLINE double sum_of_lanes(const Doubles& values) {
  double sums[kLanes];
  for (int64_t lane = 0; lane < kLanes; ++lane) sums[lane] = values[lane];
  for (int64_t half = kLanes / 2; half > 0; half /= 2)
    for (int64_t lane = 0; lane < half; ++lane) sums[lane] = sums[2 * lane] + sums[2 * lane + 1];
  return sums[0];
}

BALEEN_INLINE double most_of_lanes(const Doubles& values) {
  double most = values[0];
  for (int64_t lane = 1; lane < kLanes; ++lane) most = std::max(most, values[lane]);
  return most;
}

/// A tile's products with one group of rows, of the inputs or of their squares.
template <bool kSquares>
BALEEN_INLINE void multiply(const double* tile, const Columns& x, int64_t row,
                            Doubles (&sums)[kTile][kVectors]) {
#pragma GCC unroll 16
  for (int64_t o = 0; o < kTile; ++o)
#pragma GCC unroll 4
    for (int64_t v = 0; v < kVectors; ++v) sums[o][v] = broadcast(0.0);
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

/// Calls store_sum(output, row, sum) with eight rows of one output at a time.
template <bool kSquares, class Store>
BALEEN_INLINE void apply(const ColumnWeights& weights, const Columns& x, const Store& store_sum) {
  const double* tile = weights.tiles();
  for (int64_t first = 0; first < weights.num_outputs(); first += kTile, tile += kTile * x.count) {
    const int64_t used = std::min(kTile, weights.num_outputs() - first);
    for (int64_t row = 0; row < x.rows; row += kRowGroup) {
      Doubles sums[kTile][kVectors];
      multiply<kSquares>(tile, x, row, sums);
      for (int64_t o = 0; o < used; ++o)
        for (int64_t v = 0; v < kVectors; ++v) store_sum(first + o, row + v * kLanes, sums[o][v]);
    }
  }
}

template <bool kSurplus>
BALEEN_INLINE void by_freedom(double of_mean, const Columns& leverage_A, double* most_taken_A) {
  for (int64_t a = 0; a < leverage_A.count; ++a) {
    double* values = leverage_A.column(a);
    Doubles most = broadcast(0.0);
    for (int64_t row = 0; row < padded_rows(leverage_A.rows); row += kLanes) {
      const Doubles taken = load(values + row) + of_mean;
      most = taken > most ? taken : most;
      const Doubles left = 1 - taken;
      store((kSurplus ? taken * (2 - taken) : broadcast(1.0)) / (left * left), values + row);
    }
    most_taken_A[a] = std::max(most_taken_A[a], most_of_lanes(most));
  }
}

/// Four rows at a time, four of their values at a time turned into columns.
template <class T>
BALEEN_INLINE void gather(const T* table, const int64_t* rows, const Columns& out) {
  constexpr int64_t kSide = 4, kAhead = 24;
  typedef T Values __attribute__((vector_size(kSide * sizeof(T))));
  typedef double Four __attribute__((vector_size(kSide * sizeof(double))));
  int64_t first = 0;
  for (; first + kSide <= out.rows; first += kSide) {
    const T* from[kSide];
    for (int64_t r = 0; r < kSide; ++r) {
      from[r] = table + rows[first + r] * out.count;
      // Rows of a fold lie apart, so that the processor does not guess which comes next.
      const T* later = table + rows[std::min(first + r + kAhead, out.rows - 1)] * out.count;
      __builtin_prefetch(later);
      __builtin_prefetch(later + out.count - 1);
    }
    int64_t c = 0;
    for (; c + kSide <= out.count; c += kSide) {
      Four row[kSide];
      for (int64_t r = 0; r < kSide; ++r) {
        Values values;
        std::memcpy(&values, from[r] + c, sizeof values);
        row[r] = __builtin_convertvector(values, Four);
      }
      const Four even01 = __builtin_shufflevector(row[0], row[1], 0, 4, 2, 6);
      const Four even23 = __builtin_shufflevector(row[2], row[3], 0, 4, 2, 6);
      const Four odd01 = __builtin_shufflevector(row[0], row[1], 1, 5, 3, 7);
      const Four odd23 = __builtin_shufflevector(row[2], row[3], 1, 5, 3, 7);
      double* to = out.column(c) + first;
      store(__builtin_shufflevector(even01, even23, 0, 1, 4, 5), to);
      store(__builtin_shufflevector(odd01, odd23, 0, 1, 4, 5), to + out.stride);
      store(__builtin_shufflevector(even01, even23, 2, 3, 6, 7), to + 2 * out.stride);
      store(__builtin_shufflevector(odd01, odd23, 2, 3, 6, 7), to + 3 * out.stride);
    }
    for (; c < out.count; ++c)
      for (int64_t r = 0; r < kSide; ++r)
        out.column(c)[first + r] = static_cast<double>(from[r][c]);
  }
  for (; first < out.rows; ++first) {
    const T* from = table + rows[first] * out.count;
    for (int64_t c = 0; c < out.count; ++c) out.column(c)[first] = static_cast<double>(from[c]);
  }
  clear_padding(out);
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
void gather_rows(const float* table_NC, const int64_t* rows, const Columns& out) {
  gather(table_NC, rows, out);
}

BALEEN_EACH_INSTRUCTION_SET
void gather_rows(const double* table_NC, const int64_t* rows, const Columns& out) {
  gather(table_NC, rows, out);
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
void sum_squares(const Columns& x, double* out) {
  for (int64_t row = 0; row < padded_rows(x.rows); row += kLanes) {
    Doubles sum = {};
    for (int64_t c = 0; c < x.count; ++c) {
      const Doubles values = load(x.column(c) + row);
      sum += values * values;
    }
    store(sum, out + row);
  }
}

BALEEN_EACH_INSTRUCTION_SET
void multiply_rows(const Columns& x, const double* factor, const Columns& out) {
  for (int64_t c = 0; c < x.count; ++c)
    for (int64_t row = 0; row < padded_rows(x.rows); row += kLanes)
      store(load(x.column(c) + row) * load(factor + row), out.column(c) + row);
}

BALEEN_EACH_INSTRUCTION_SET
void apply_columns(const ColumnWeights& weights, const double* offset_O, const Columns& x,
                   const Columns& out) {
  apply<false>(
      weights, x, [&](int64_t o, int64_t row, const Doubles& sum) __attribute__((always_inline)) {
        store(sum + (offset_O ? offset_O[o] : 0.0), out.column(o) + row);
      });
}

BALEEN_EACH_INSTRUCTION_SET
void subtract_columns(const ColumnWeights& weights, const Columns& x, const Columns& y_K,
                      const Columns& out) {
  apply<false>(
      weights, x, [&](int64_t k, int64_t row, const Doubles& sum) __attribute__((always_inline)) {
        store(load(y_K.column(k) + row) - sum, out.column(k) + row);
      });
}

BALEEN_EACH_INSTRUCTION_SET
void apply_to_squares(const ColumnWeights& weights, const Columns& x, const Columns& out) {
  apply<true>(
      weights, x, [&](int64_t o, int64_t row, const Doubles& sum) __attribute__((always_inline)) {
        store(sum, out.column(o) + row);
      });
}

BALEEN_EACH_INSTRUCTION_SET
void weigh_by_freedom(double of_mean, const Columns& leverage_A, double* most_taken_A) {
  by_freedom<false>(of_mean, leverage_A, most_taken_A);
}

BALEEN_EACH_INSTRUCTION_SET
void surplus_by_freedom(double of_mean, const Columns& leverage_A, double* most_taken_A) {
  by_freedom<true>(of_mean, leverage_A, most_taken_A);
}

BALEEN_EACH_INSTRUCTION_SET
void raise_changes(const Columns& weight_A, int64_t reference, double* inverse, double* most_A) {
  const int64_t rows = padded_rows(weight_A.rows);
  for (int64_t row = 0; row < rows; row += kLanes)
    store(1 / load(weight_A.column(reference) + row), inverse + row);
  for (int64_t a = 0; a < weight_A.count; ++a) {
    Doubles most = broadcast(0.0);
    for (int64_t row = 0; row < rows; row += kLanes) {
      const Doubles change = load(weight_A.column(a) + row) * load(inverse + row) - 1;
      const Doubles part = change > 0 ? change : -change;
      most = part > most ? part : most;
    }
    most_A[a] = std::max(most_A[a], most_of_lanes(most));
  }
}

BALEEN_EACH_INSTRUCTION_SET
void add_squared_errors(const ColumnWeights& weights, const Columns& x, const Columns& y_K,
                        const Columns& factor_A, double* squares_AK) {
  const double* tile = weights.tiles();
  for (int64_t first = 0; first < weights.num_outputs(); first += kTile, tile += kTile * x.count) {
    const double* y[kTile];
    const double* factor[kTile];
    for (int64_t o = 0; o < kTile; ++o) {  // of the outputs that only fill the tile, the last
      const int64_t output = std::min(first + o, weights.num_outputs() - 1);
      y[o] = y_K.column(output % y_K.count);
      factor[o] = factor_A.column(output / y_K.count);
    }
    Doubles squares[kTile] = {};
    for (int64_t row = 0; row < x.rows; row += kRowGroup) {
      Doubles sums[kTile][kVectors];
      spill(squares);
      multiply<false>(tile, x, row, sums);
      for (int64_t o = 0; o < kTile; ++o) {
        for (int64_t v = 0; v < kVectors; ++v) {
          const int64_t at = row + v * kLanes;
          const Doubles error = load(y[o] + at) - sums[o][v];
          squares[o] += error * error * load(factor[o] + at);
        }
      }
    }
    for (int64_t o = 0; o < kTile && first + o < weights.num_outputs(); ++o)
      squares_AK[first + o] += sum_of_lanes(squares[o]);
  }
}

BALEEN_EACH_INSTRUCTION_SET
void add_dots(const Columns& a, const Columns& b, bool symmetric, double* dots_AB) {
  constexpr int64_t tile_size = kTile;
  for (int64_t i = 0; i < a.count; i += tile_size) {
    for (int64_t j = 0; j < (symmetric ? i + 1 : b.count); j += tile_size) {
      const double* left[tile_size];
      const double* right[tile_size];
      for (int64_t t = 0; t < tile_size; ++t) {
        left[t] = a.column(std::min(i + t, a.count - 1));
        right[t] = b.column(std::min(j + t, b.count - 1));
      }
      Doubles sums[tile_size][tile_size] = {};
      for (int64_t row = 0; row < a.rows; row += kLanes) {
        Doubles others[tile_size];
        for (int64_t t = 0; t < tile_size; ++t) others[t] = load(right[t] + row);
        for (int64_t t = 0; t < tile_size; ++t) {
          const Doubles one = load(left[t] + row);
          for (int64_t u = 0; u < tile_size; ++u) sums[t][u] += one * others[u];
        }
      }
      for (int64_t t = 0; t < tile_size && i + t < a.count; ++t) {
        for (int64_t u = 0; u < tile_size && j + u < b.count; ++u) {
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

BALEEN_EACH_INSTRUCTION_SET
void add_squares(const Columns& x, double* squares_C) {
  for (int64_t c = 0; c < x.count; ++c) {
    Doubles sum = {};
    for (int64_t row = 0; row < x.rows; row += kLanes) {
      const Doubles values = load(x.column(c) + row);
      sum += values * values;
    }
    squares_C[c] += sum_of_lanes(sum);
  }
}

}  // namespace baleen
