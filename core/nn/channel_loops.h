#pragma once

#include <cstdint>

#include "core/nn/channel_kernels.h"
#include "core/nn/loop_types.h"

// The innermost loops of channel_kernels.cpp, the only file that includes this one.
namespace baleen::loops {

/// Of each column, in the precision of the sums.
template <typename A>
struct Affine {
  const A* __restrict mean;
  const A* __restrict scale;
  const A* __restrict shift;
  const A* __restrict slope;  ///< of a PReLU; else not read
};

template <Activation kind>
struct Kind {};

template <Activation kind, typename A>
BALEEN_INLINE A activate(A z, A slope) {
  // Not-a-number stays what it is.
  if constexpr (kind == Activation::kReLU) return z < A{0} ? A{0} : z;
  // As a sum of two choices: one between a product and z is not vectorised for every type.
  if constexpr (kind == Activation::kPReLU)
    return (z < A{0} ? A{0} : z) + slope * (z < A{0} ? z : A{0});
  return z;
}

/// The gradient before the activation, of that after it.
template <Activation kind, typename A>
BALEEN_INLINE A before_activation(A gradient, A z, A slope) {
  if constexpr (kind == Activation::kReLU) return z <= A{0} ? A{0} : gradient;
  [[maybe_unused]] const A scaled = slope * gradient;
  if constexpr (kind == Activation::kPReLU) return z <= A{0} ? scaled : gradient;
  return gradient;
}

/// Adds `count` rows to what is known of the columns: the mean of `known` rows and the sum of
/// squared distances from it (Chan, Golub and LeVeque 1979). Rows are read twice, the second time
/// from cache.
/// @param sums, centre room for `width` numbers each
template <typename T, typename A>
BALEEN_INLINE void add_moments(Rows<const T> x, int64_t count, int64_t width, int64_t known,
                               A* __restrict sums, A* __restrict centre, double* __restrict mean,
                               double* __restrict squares) {
  for (int64_t c = 0; c < width; ++c) sums[c] = A{0};
  int64_t i = 0;
  for (; i + 4 <= count; i += 4) {
    const T* __restrict a = x.row(i);
    const T* __restrict b = x.row(i + 1);
    const T* __restrict d = x.row(i + 2);
    const T* __restrict e = x.row(i + 3);
    for (int64_t c = 0; c < width; ++c)
      sums[c] += (load(a[c]) + load(b[c])) + (load(d[c]) + load(e[c]));
  }
  for (; i < count; ++i) {
    const T* __restrict row = x.row(i);
    for (int64_t c = 0; c < width; ++c) sums[c] += load(row[c]);
  }
  const A share = A{1} / static_cast<A>(count);
  for (int64_t c = 0; c < width; ++c) {
    centre[c] = sums[c] * share;
    sums[c] = A{0};
  }
  i = 0;
  for (; i + 2 <= count; i += 2) {
    const T* __restrict a = x.row(i);
    const T* __restrict b = x.row(i + 1);
    for (int64_t c = 0; c < width; ++c) {
      const A p = load(a[c]) - centre[c], q = load(b[c]) - centre[c];
      sums[c] += p * p + q * q;
    }
  }
  for (; i < count; ++i) {
    const T* __restrict row = x.row(i);
    for (int64_t c = 0; c < width; ++c) {
      const A p = load(row[c]) - centre[c];
      sums[c] += p * p;
    }
  }
  const double part = static_cast<double>(count) / static_cast<double>(known + count);
  const double weight = static_cast<double>(known) * part;
  for (int64_t c = 0; c < width; ++c) {
    const double distance = static_cast<double>(centre[c]) - mean[c];
    mean[c] += distance * part;
    squares[c] += static_cast<double>(sums[c]) + distance * distance * weight;
  }
}

/// activation(x * scale + shift [+ addend]).
template <Activation kind, bool has_addend, typename T, typename A>
BALEEN_INLINE void apply(Rows<const T> x, Rows<const T> addend, Rows<T> y, int64_t count,
                         int64_t width, Affine<A> map) {
  for (int64_t i = 0; i < count; ++i) {
    const T* __restrict from = x.row(i);
    [[maybe_unused]] const T* __restrict other = has_addend ? addend.row(i) : nullptr;
    T* __restrict to = y.row(i);
    for (int64_t c = 0; c < width; ++c) {
      A z = load(from[c]) * map.scale[c] + map.shift[c];
      if constexpr (has_addend) z += load(other[c]);
      A slope{0};
      if constexpr (kind == Activation::kPReLU) slope = map.slope[c];
      store(to[c], activate<kind>(z, slope));
    }
  }
}

/// Sums over rows of the gradient before the activation and of its product with x - mean; for a
/// PReLU of that of its slope, too.
template <Activation kind, typename T, typename A>
BALEEN_INLINE void add_gradients(Rows<const T> g, Rows<const T> x, int64_t count, int64_t width,
                                 Affine<A> map, A* __restrict sums, A* __restrict products,
                                 A* __restrict slopes) {
  for (int64_t i = 0; i < count; ++i) {
    const T* __restrict from = x.row(i);
    const T* __restrict up = g.row(i);
    for (int64_t c = 0; c < width; ++c) {
      const A value = load(from[c]);
      const A z = value * map.scale[c] + map.shift[c];
      A slope{0};
      if constexpr (kind == Activation::kPReLU) slope = map.slope[c];
      const A gradient = before_activation<kind>(load(up[c]), z, slope);
      sums[c] += gradient;
      products[c] += gradient * (value - map.mean[c]);
      if constexpr (kind == Activation::kPReLU) slopes[c] += (z <= A{0} ? z : A{0}) * load(up[c]);
    }
  }
}

/// The same where something was added before the ReLU, whose sign the result y shows; keeps the
/// gradient before the ReLU in d.
template <typename T, typename A>
BALEEN_INLINE void add_gradients_of_sum(Rows<const T> g, Rows<const T> x, Rows<const T> y,
                                        Rows<T> d, int64_t count, int64_t width,
                                        const A* __restrict mean, A* __restrict sums,
                                        A* __restrict products) {
  for (int64_t i = 0; i < count; ++i) {
    const T* __restrict from = x.row(i);
    const T* __restrict up = g.row(i);
    const T* __restrict result = y.row(i);
    T* __restrict to = d.row(i);
    for (int64_t c = 0; c < width; ++c)
      store_unrounded(to[c], zero_if(load(result[c]) <= A{0}, load(up[c])));
    for (int64_t c = 0; c < width; ++c) {
      const A gradient = load(to[c]);
      sums[c] += gradient;
      products[c] += gradient * (load(from[c]) - mean[c]);
    }
  }
}

/// scale * gradient - factor * (x - mean) - offset, with the gradient before the activation.
template <Activation kind, typename T, typename A>
BALEEN_INLINE void apply_gradients(Rows<const T> g, Rows<const T> x, Rows<T> dx, int64_t count,
                                   int64_t width, Affine<A> map, const A* __restrict factor,
                                   const A* __restrict offset) {
  for (int64_t i = 0; i < count; ++i) {
    const T* __restrict from = x.row(i);
    const T* __restrict up = g.row(i);
    T* __restrict to = dx.row(i);
    for (int64_t c = 0; c < width; ++c) {
      const A value = load(from[c]);
      const A z = value * map.scale[c] + map.shift[c];
      A slope{0};
      if constexpr (kind == Activation::kPReLU) slope = map.slope[c];
      const A gradient = before_activation<kind>(load(up[c]), z, slope);
      store(to[c], map.scale[c] * gradient - factor[c] * (value - map.mean[c]) - offset[c]);
    }
  }
}

// Each loop for each type, as plain functions: templates can't be cloned.
#define BALEEN_LOOPS_OF_KIND(T, A, kind)                                                           \
  BALEEN_EACH_INSTRUCTION_SET void forward_of(Kind<kind>, Rows<const T> x, Rows<T> y,              \
                                              int64_t count, int64_t width, Affine<A> map) {       \
    apply<kind, false, T, A>(x, {}, y, count, width, map);                                         \
  }                                                                                                \
  BALEEN_EACH_INSTRUCTION_SET void gradient_sums_of(Kind<kind>, Rows<const T> g, Rows<const T> x,  \
                                                    int64_t count, int64_t width, Affine<A> map,   \
                                                    A* sums, A* products, A* slopes) {             \
    add_gradients<kind, T, A>(g, x, count, width, map, sums, products, slopes);                    \
  }                                                                                                \
  BALEEN_EACH_INSTRUCTION_SET void gradients_of(Kind<kind>, Rows<const T> g, Rows<const T> x,      \
                                                Rows<T> dx, int64_t count, int64_t width,          \
                                                Affine<A> map, const A* factor, const A* offset) { \
    apply_gradients<kind, T, A>(g, x, dx, count, width, map, factor, offset);                      \
  }
#define BALEEN_LOOPS(T, A)                                                                        \
  BALEEN_EACH_INSTRUCTION_SET void moments_of(Rows<const T> x, int64_t count, int64_t width,      \
                                              int64_t known, A* sums, A* centre, double* mean,    \
                                              double* squares) {                                  \
    add_moments<T, A>(x, count, width, known, sums, centre, mean, squares);                       \
  }                                                                                               \
  BALEEN_EACH_INSTRUCTION_SET void forward_of_sum(Rows<const T> x, Rows<const T> addend,          \
                                                  Rows<T> y, int64_t count, int64_t width,        \
                                                  Affine<A> map) {                                \
    apply<Activation::kReLU, true, T, A>(x, addend, y, count, width, map);                        \
  }                                                                                               \
  BALEEN_EACH_INSTRUCTION_SET void gradient_sums_of_sum(                                          \
      Rows<const T> g, Rows<const T> x, Rows<const T> y, Rows<T> d, int64_t count, int64_t width, \
      const A* mean, A* sums, A* products) {                                                      \
    add_gradients_of_sum<T, A>(g, x, y, d, count, width, mean, sums, products);                   \
  }                                                                                               \
  BALEEN_LOOPS_OF_KIND(T, A, Activation::kNone)                                                   \
  BALEEN_LOOPS_OF_KIND(T, A, Activation::kReLU)                                                   \
  BALEEN_LOOPS_OF_KIND(T, A, Activation::kPReLU)
BALEEN_LOOPS(float, float)
BALEEN_LOOPS(double, double)
BALEEN_LOOPS(BFloat16, float)
#undef BALEEN_LOOPS
#undef BALEEN_LOOPS_OF_KIND

}  // namespace baleen::loops
