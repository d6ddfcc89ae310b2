#include "experiments/stacking/columns.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "core/base/lanes.h"

namespace baleen {
namespace {

using lanes::broadcast, lanes::Doubles, lanes::kLanesOf, lanes::load, lanes::spill, lanes::store;

// Outputs that are computed together for one group of rows: their sums, and what makes them, fill
// the registers of AVX-512.
template <class T>
constexpr int64_t kTileOf = sizeof(T) == sizeof(double) ? 4 : 8;
template <class T>
constexpr int64_t kVectorsOf = kRowGroup / kLanesOf<T>;

template <class Vector>
BALEEN_INLINE double sum_of_lanes(const Vector& values) {
  constexpr int64_t count = sizeof(Vector) / sizeof(values[0]);
  double sums[count];
  for (int64_t lane = 0; lane < count; ++lane) sums[lane] = double(values[lane]);
  for (int64_t half = count / 2; half > 0; half /= 2)
    for (int64_t lane = 0; lane < half; ++lane) sums[lane] = sums[2 * lane] + sums[2 * lane + 1];
  return sums[0];
}

/// A tile's products with one group of rows, of the inputs or of their squares.
template <bool kSquares, class T, class Sums>
BALEEN_INLINE void multiply(const T* tile, const ColumnsOf<T>& x, int64_t row, Sums& sums) {
  constexpr int64_t tile_size = kTileOf<T>, vectors = kVectorsOf<T>;
#pragma GCC unroll 16
  for (int64_t o = 0; o < tile_size; ++o)
#pragma GCC unroll 4
    for (int64_t v = 0; v < vectors; ++v) sums[o][v] = broadcast(T{0});
  const T* from = x.data + row;
  for (int64_t d = 0; d < x.count; ++d, from += x.stride, tile += tile_size) {
    typename lanes::Of<T>::Vector inputs[vectors];
    for (int64_t v = 0; v < vectors; ++v) {
      inputs[v] = load(from + v * kLanesOf<T>);
      if (kSquares) inputs[v] *= inputs[v];
    }
#pragma GCC unroll 16
    for (int64_t o = 0; o < tile_size; ++o)
#pragma GCC unroll 4
      for (int64_t v = 0; v < vectors; ++v) sums[o][v] += broadcast(tile[o]) * inputs[v];
  }
}

template <bool kSquares, class T>
BALEEN_INLINE void apply(const WeightsOf<T>& weights, const T* offset_O, const ColumnsOf<T>& x,
                         const ColumnsOf<T>& out) {
  constexpr int64_t tile_size = kTileOf<T>, vectors = kVectorsOf<T>;
  const T* tile = weights.tiles();
  for (int64_t first = 0; first < weights.num_outputs();
       first += tile_size, tile += tile_size * x.count) {
    const int64_t used = std::min(tile_size, weights.num_outputs() - first);
    for (int64_t row = 0; row < x.rows; row += kRowGroup) {
      typename lanes::Of<T>::Vector sums[tile_size][vectors];
      multiply<kSquares>(tile, x, row, sums);
      for (int64_t o = 0; o < used; ++o) {
        const auto offset = broadcast(offset_O ? offset_O[first + o] : T{0});
        for (int64_t v = 0; v < vectors; ++v)
          store(sums[o][v] + offset, out.column(first + o) + row + v * kLanesOf<T>);
      }
    }
  }
}

template <bool kSurplus, class T>
BALEEN_INLINE void by_freedom(T of_mean, const ColumnsOf<T>& leverage_A, double* most_taken_A) {
  for (int64_t a = 0; a < leverage_A.count; ++a) {
    T* values = leverage_A.column(a);
    auto most = broadcast(T{0});
    for (int64_t row = 0; row < padded_rows(leverage_A.rows); row += kLanesOf<T>) {
      const auto taken = load(values + row) + of_mean;
      most = taken > most ? taken : most;
      const auto left = T{1} - taken;
      store((kSurplus ? taken * (T{2} - taken) : broadcast(T{1})) / (left * left), values + row);
    }
    for (int64_t lane = 0; lane < kLanesOf<T>; ++lane)
      most_taken_A[a] = std::max(most_taken_A[a], double(most[lane]));
  }
}

template <class T>
BALEEN_INLINE void add_errors(const WeightsOf<T>& weights, const ColumnsOf<T>& x,
                              const ColumnsOf<T>& y_K, const ColumnsOf<T>& factor_A,
                              double* squares_AK) {
  constexpr int64_t tile_size = kTileOf<T>, vectors = kVectorsOf<T>;
  const T* tile = weights.tiles();
  for (int64_t first = 0; first < weights.num_outputs();
       first += tile_size, tile += tile_size * x.count) {
    const T* y[tile_size];
    const T* factor[tile_size];
    for (int64_t o = 0; o < tile_size; ++o) {  // of the outputs that only fill the tile, the last
      const int64_t output = std::min(first + o, weights.num_outputs() - 1);
      y[o] = y_K.column(output % y_K.count);
      factor[o] = factor_A.column(output / y_K.count);
    }
    typename lanes::Of<T>::Vector squares[tile_size] = {};
    for (int64_t row = 0; row < x.rows; row += kRowGroup) {
      typename lanes::Of<T>::Vector sums[tile_size][vectors];
      spill(squares);
      multiply<false>(tile, x, row, sums);
#pragma GCC unroll 16
      for (int64_t o = 0; o < tile_size; ++o) {
        auto sum = squares[o];
#pragma GCC unroll 4
        for (int64_t v = 0; v < vectors; ++v) {
          const int64_t at = row + v * kLanesOf<T>;
          const auto error = load(y[o] + at) - sums[o][v];
          sum += error * error * load(factor[o] + at);
        }
        squares[o] = sum;
      }
    }
    for (int64_t o = 0; o < tile_size && first + o < weights.num_outputs(); ++o)
      squares_AK[first + o] += sum_of_lanes(squares[o]);
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

template <class T>
WeightsOf<T>::WeightsOf(const at::Tensor& weights_OD) : num_outputs_(weights_OD.size(0)) {
  constexpr int64_t tile_size = kTileOf<T>;
  const int64_t num_inputs = weights_OD.size(1);
  const at::Tensor dense_OD = weights_OD.contiguous();
  const double* weights = dense_OD.const_data_ptr<double>();
  tiles_.resize(
      static_cast<size_t>((num_outputs_ + tile_size - 1) / tile_size * tile_size * num_inputs));
  for (int64_t o = 0; o < num_outputs_; ++o) {
    T* tile = tiles_.data() + o / tile_size * tile_size * num_inputs + o % tile_size;
    for (int64_t d = 0; d < num_inputs; ++d)
      tile[d * tile_size] = static_cast<T>(weights[o * num_inputs + d]);
  }
}
template class WeightsOf<double>;
template class WeightsOf<float>;

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
    for (int64_t row = 0; row < x.rows; row += kLanesOf<double>)
      store(load(x.column(c) + row) - offset_C[c], out.column(c) + row);
  }
  clear_padding(out);
}

BALEEN_EACH_INSTRUCTION_SET
void to_floats(const Columns& x, const double* offset_C, const double* factor_C,
               const FloatColumns& out) {
  for (int64_t c = 0; c < x.count; ++c) {
    const double offset = offset_C ? offset_C[c] : 0, factor = factor_C ? factor_C[c] : 1;
    const double* from = x.column(c);
    float* to = out.column(c);
    for (int64_t row = 0; row < x.rows; ++row)
      to[row] = static_cast<float>((from[row] - offset) * factor);
    std::fill(to + x.rows, to + padded_rows(x.rows), 0.0f);
  }
}

BALEEN_EACH_INSTRUCTION_SET
void apply_columns(const ColumnWeights& weights, const double* offset_O, const Columns& x,
                   const Columns& out) {
  apply<false>(weights, offset_O, x, out);
}

BALEEN_EACH_INSTRUCTION_SET
void apply_to_squares(const ColumnWeights& weights, const Columns& x, const Columns& out) {
  apply<true, double>(weights, nullptr, x, out);
}

BALEEN_EACH_INSTRUCTION_SET
void apply_to_squares(const FloatWeights& weights, const FloatColumns& x, const FloatColumns& out) {
  apply<true, float>(weights, nullptr, x, out);
}

BALEEN_EACH_INSTRUCTION_SET
void weigh_by_freedom(double of_mean, const Columns& leverage_A, double* most_taken_A) {
  by_freedom<false>(of_mean, leverage_A, most_taken_A);
}

BALEEN_EACH_INSTRUCTION_SET
void surplus_by_freedom(double of_mean, const FloatColumns& leverage_A, double* most_taken_A) {
  by_freedom<true>(static_cast<float>(of_mean), leverage_A, most_taken_A);
}

BALEEN_EACH_INSTRUCTION_SET
void add_squared_errors(const ColumnWeights& weights, const Columns& x, const Columns& y_K,
                        const Columns& factor_A, double* squares_AK) {
  add_errors(weights, x, y_K, factor_A, squares_AK);
}

BALEEN_EACH_INSTRUCTION_SET
void add_squared_errors(const FloatWeights& weights, const FloatColumns& x, const FloatColumns& y_K,
                        const FloatColumns& factor_A, double* squares_AK) {
  add_errors(weights, x, y_K, factor_A, squares_AK);
}

BALEEN_EACH_INSTRUCTION_SET
void add_dots(const Columns& a, const Columns& b, bool symmetric, double* dots_AB) {
  constexpr int64_t tile_size = kTileOf<double>;
  for (int64_t i = 0; i < a.count; i += tile_size) {
    for (int64_t j = 0; j < (symmetric ? i + 1 : b.count); j += tile_size) {
      const double* left[tile_size];
      const double* right[tile_size];
      for (int64_t t = 0; t < tile_size; ++t) {
        left[t] = a.column(std::min(i + t, a.count - 1));
        right[t] = b.column(std::min(j + t, b.count - 1));
      }
      Doubles sums[tile_size][tile_size] = {};
      for (int64_t row = 0; row < a.rows; row += kLanesOf<double>) {
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
    for (int64_t row = 0; row < x.rows; row += kLanesOf<double>) sum += load(x.column(c) + row);
    sums_C[c] += sum_of_lanes(sum);
  }
}

BALEEN_EACH_INSTRUCTION_SET
void add_squares(const Columns& x, double* squares_C) {
  for (int64_t c = 0; c < x.count; ++c) {
    Doubles sum = {};
    for (int64_t row = 0; row < x.rows; row += kLanesOf<double>) {
      const Doubles values = load(x.column(c) + row);
      sum += values * values;
    }
    squares_C[c] += sum_of_lanes(sum);
  }
}

}  // namespace baleen
