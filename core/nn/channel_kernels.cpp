#include "core/nn/channel_kernels.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdint>
#include <vector>

// The loops are written for the compiler to vectorise, which it does at this level only, and are
// compiled once per instruction set, of which the program takes the machine's best when it is
// loaded. Sanitizers and the loader's choice exclude each other.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define BALEEN_EACH_INSTRUCTION_SET __attribute__((target_clones("avx512f", "avx2", "default")))
#endif
#endif
#ifndef BALEEN_EACH_INSTRUCTION_SET
#define BALEEN_EACH_INSTRUCTION_SET
#endif
#define BALEEN_INLINE inline __attribute__((always_inline))

namespace baleen {
namespace {

constexpr int64_t kRowsPerFlush = 64;  ///< sums of so many rows stay in the maps' precision
constexpr int64_t kGrainElements = 32768;

/// Per channel, in the precision of the sums.
template <typename A>
struct Affine {
  const A* __restrict mean;
  const A* __restrict scale;
  const A* __restrict shift;
};

/// Channels of consecutive rows, and how far one row is from the next.
template <typename T>
struct Rows {
  T* data;
  int64_t stride;
  T* row(int64_t i) const { return data + i * stride; }
};

template <typename T, typename A>
BALEEN_INLINE void add_values(Rows<const T> x, int64_t count, int64_t channels,
                              A* __restrict sums) {
  for (int64_t i = 0; i < count; ++i) {
    const T* __restrict row = x.row(i);
    for (int64_t c = 0; c < channels; ++c) sums[c] += row[c];
  }
}

template <typename T, typename A>
BALEEN_INLINE void add_squares(Rows<const T> x, int64_t count, int64_t channels,
                               const A* __restrict mean, A* __restrict sums) {
  for (int64_t i = 0; i < count; ++i) {
    const T* __restrict row = x.row(i);
    for (int64_t c = 0; c < channels; ++c) {
      const A distance = row[c] - mean[c];
      sums[c] += distance * distance;
    }
  }
}

template <typename T, typename A>
BALEEN_INLINE void apply(Rows<const T> x, Rows<T> y, int64_t count, int64_t channels,
                         Affine<A> map) {
  for (int64_t i = 0; i < count; ++i) {
    const T* __restrict from = x.row(i);
    T* __restrict to = y.row(i);
    for (int64_t c = 0; c < channels; ++c) {
      const A z = from[c] * map.scale[c] + map.shift[c];
      to[c] = z < A{0} ? A{0} : z;  // not-a-number stays what it is
    }
  }
}

/// Sums over pixels of the gradient before the ReLU, and of its product with x - mean.
template <typename T, typename A>
BALEEN_INLINE void add_gradients(Rows<const T> g, Rows<const T> x, int64_t count, int64_t channels,
                                 Affine<A> map, A* __restrict sums, A* __restrict products) {
  for (int64_t i = 0; i < count; ++i) {
    const T* __restrict from = x.row(i);
    const T* __restrict up = g.row(i);
    for (int64_t c = 0; c < channels; ++c) {
      const A value = from[c];
      const A z = value * map.scale[c] + map.shift[c];
      const A gradient = z <= A{0} ? A{0} : up[c];
      sums[c] += gradient;
      products[c] += gradient * (value - map.mean[c]);
    }
  }
}

/// scale * gradient - slope * (x - mean) - offset.
template <typename T, typename A>
BALEEN_INLINE void apply_gradients(Rows<const T> g, Rows<const T> x, Rows<T> dx, int64_t count,
                                   int64_t channels, Affine<A> map, const A* __restrict slope,
                                   const A* __restrict offset) {
  for (int64_t i = 0; i < count; ++i) {
    const T* __restrict from = x.row(i);
    const T* __restrict up = g.row(i);
    T* __restrict to = dx.row(i);
    for (int64_t c = 0; c < channels; ++c) {
      const A value = from[c];
      const A z = value * map.scale[c] + map.shift[c];
      const A gradient = z <= A{0} ? A{0} : up[c];
      to[c] = map.scale[c] * gradient - slope[c] * (value - map.mean[c]) - offset[c];
    }
  }
}

// Each loop for each type, as plain functions: templates can't be cloned.
#define BALEEN_LOOPS(T, A)                                                                      \
  BALEEN_EACH_INSTRUCTION_SET void values_of(Rows<const T> x, int64_t count, int64_t channels,  \
                                             A* sums) {                                         \
    add_values<T, A>(x, count, channels, sums);                                                 \
  }                                                                                             \
  BALEEN_EACH_INSTRUCTION_SET void squares_of(Rows<const T> x, int64_t count, int64_t channels, \
                                              const A* mean, A* sums) {                         \
    add_squares<T, A>(x, count, channels, mean, sums);                                          \
  }                                                                                             \
  BALEEN_EACH_INSTRUCTION_SET void forward_of(Rows<const T> x, Rows<T> y, int64_t count,        \
                                              int64_t channels, Affine<A> map) {                \
    apply<T, A>(x, y, count, channels, map);                                                    \
  }                                                                                             \
  BALEEN_EACH_INSTRUCTION_SET void gradient_sums_of(Rows<const T> g, Rows<const T> x,           \
                                                    int64_t count, int64_t channels,            \
                                                    Affine<A> map, A* sums, A* products) {      \
    add_gradients<T, A>(g, x, count, channels, map, sums, products);                            \
  }                                                                                             \
  BALEEN_EACH_INSTRUCTION_SET void gradients_of(Rows<const T> g, Rows<const T> x, Rows<T> dx,   \
                                                int64_t count, int64_t channels, Affine<A> map, \
                                                const A* slope, const A* offset) {              \
    apply_gradients<T, A>(g, x, dx, count, channels, map, slope, offset);                       \
  }
BALEEN_LOOPS(float, float)
BALEEN_LOOPS(double, double)
#undef BALEEN_LOOPS

int64_t num_rows(const at::Tensor& map) { return map.size(0) * map.size(2) * map.size(3); }

template <typename T>
Rows<T> rows_of(const at::Tensor& map) {
  return {static_cast<T*>(map.data_ptr()), map.size(1)};
}

/// body(first row, number of rows), each row once, on all threads.
template <typename Body>
void for_rows(int64_t rows, int64_t channels, const Body& body) {
  const int64_t grain = std::max<int64_t>(1, kGrainElements / channels);
  at::parallel_for(0, rows, grain, [&](int64_t begin, int64_t end) { body(begin, end - begin); });
}

/// Adds up `num_sums` sums per channel: body(first row, number of rows, sums) adds the rows' own to
/// sums, laid out one after the other. Partial sums are added in the order of the threads.
template <typename A, typename Body>
std::vector<double> sums_over_rows(int64_t rows, int64_t channels, int64_t num_sums,
                                   const Body& body) {
  const int64_t width = channels * num_sums;
  const int64_t threads = at::get_num_threads();
  std::vector<double> totals(static_cast<size_t>(width * threads), 0.0);
  for_rows(rows, channels, [&](int64_t begin, int64_t count) {
    double* mine = totals.data() + width * at::get_thread_num();
    std::vector<A> partial(static_cast<size_t>(width));
    for (int64_t done = 0; done < count; done += kRowsPerFlush) {
      std::fill(partial.begin(), partial.end(), A{0});
      body(begin + done, std::min(kRowsPerFlush, count - done), partial.data());
      for (int64_t i = 0; i < width; ++i) mine[i] += static_cast<double>(partial[size_t(i)]);
    }
  });
  for (int64_t thread = 1; thread < threads; ++thread) {
    for (int64_t i = 0; i < width; ++i) totals[size_t(i)] += totals[size_t(thread * width + i)];
  }
  totals.resize(static_cast<size_t>(width));
  return totals;
}

/// Calls body(T{}, A{}) with the types of memory and of sums.
template <typename Body>
void dispatch(const at::Tensor& map, const Body& body) {
  if (map.scalar_type() == at::kDouble) return body(double{}, double{});
  body(float{}, float{});
}

template <typename A>
struct Coefficients {
  std::vector<A> mean, scale, shift;
  explicit Coefficients(const Normalisation& n) {
    const int64_t channels = n.weight_C.numel();
    const double* means = n.mean_C.const_data_ptr<double>();
    const double* inverses = n.inverse_deviation_C.const_data_ptr<double>();
    const A* weights = n.weight_C.const_data_ptr<A>();
    const A* biases = n.bias_C.const_data_ptr<A>();
    for (int64_t c = 0; c < channels; ++c) {
      const double factor = inverses[c] * static_cast<double>(weights[c]);
      mean.push_back(static_cast<A>(means[c]));
      scale.push_back(static_cast<A>(factor));
      shift.push_back(static_cast<A>(static_cast<double>(biases[c]) - means[c] * factor));
    }
  }
  Affine<A> affine() const { return {mean.data(), scale.data(), shift.data()}; }
};

at::Tensor empty_map(const at::Tensor& like_NCHW, int64_t channels) {
  return at::empty({like_NCHW.size(0), channels, like_NCHW.size(2), like_NCHW.size(3)},
                   like_NCHW.options().requires_grad(false), at::MemoryFormat::ChannelsLast);
}

}  // namespace

bool channel_kernels_serve(const at::Tensor& map_NCHW) {
  const auto dtype = map_NCHW.scalar_type();
  return map_NCHW.device().is_cpu() && map_NCHW.layout() == at::kStrided && map_NCHW.dim() == 4 &&
         map_NCHW.numel() > 0 && (dtype == at::kFloat || dtype == at::kDouble) &&
         map_NCHW.is_contiguous(at::MemoryFormat::ChannelsLast);
}

ChannelMoments channel_moments(const at::Tensor& map_NCHW) {
  const int64_t rows = num_rows(map_NCHW), channels = map_NCHW.size(1);
  ChannelMoments moments{at::empty({channels}, at::kDouble), at::empty({channels}, at::kDouble)};
  dispatch(map_NCHW, [&]<typename T, typename A>(T, A) {
    const auto x = rows_of<const T>(map_NCHW);
    const auto mean = sums_over_rows<A>(rows, channels, 1, [&](int64_t i, int64_t n, A* sums) {
      values_of({x.row(i), x.stride}, n, channels, sums);
    });
    std::vector<A> centre;
    for (const double sum : mean) centre.push_back(static_cast<A>(sum / static_cast<double>(rows)));
    const auto squares = sums_over_rows<A>(rows, channels, 1, [&](int64_t i, int64_t n, A* sums) {
      squares_of({x.row(i), x.stride}, n, channels, centre.data(), sums);
    });
    for (int64_t c = 0; c < channels; ++c) {
      moments.mean_C.data_ptr<double>()[c] = mean[size_t(c)] / static_cast<double>(rows);
      moments.variance_C.data_ptr<double>()[c] = squares[size_t(c)] / static_cast<double>(rows);
    }
  });
  return moments;
}

at::Tensor norm_relu_forward(const at::Tensor& x_NCHW, const Normalisation& normalisation) {
  const int64_t channels = normalisation.weight_C.numel();
  at::Tensor y_NCHW = empty_map(x_NCHW, channels);
  dispatch(x_NCHW, [&]<typename T, typename A>(T, A) {
    const Coefficients<A> coefficients(normalisation);
    const auto x = rows_of<const T>(x_NCHW);
    const auto y = rows_of<T>(y_NCHW);
    for_rows(num_rows(x_NCHW), channels, [&](int64_t i, int64_t n) {
      forward_of({x.row(i), x.stride}, {y.row(i), y.stride}, n, channels, coefficients.affine());
    });
  });
  return y_NCHW;
}

NormReLUGradients norm_relu_backward(const at::Tensor& upstream_NCHW, const at::Tensor& x_NCHW,
                                     const Normalisation& normalisation) {
  const int64_t channels = normalisation.weight_C.numel(), rows = num_rows(x_NCHW);
  NormReLUGradients gradients{empty_map(x_NCHW, channels), at::empty_like(normalisation.weight_C),
                              at::empty_like(normalisation.bias_C)};
  const at::Tensor upstream = upstream_NCHW.contiguous(at::MemoryFormat::ChannelsLast);
  dispatch(x_NCHW, [&]<typename T, typename A>(T, A) {
    const Coefficients<A> coefficients(normalisation);
    const auto x = rows_of<const T>(x_NCHW), g = rows_of<const T>(upstream);
    const auto dx = rows_of<T>(gradients.map_NCHW);
    const auto sums = sums_over_rows<A>(rows, channels, 2, [&](int64_t i, int64_t n, A* partial) {
      gradient_sums_of({g.row(i), g.stride}, {x.row(i), x.stride}, n, channels,
                       coefficients.affine(), partial, partial + channels);
    });
    const double* inverses = normalisation.inverse_deviation_C.template const_data_ptr<double>();
    std::vector<A> slope(static_cast<size_t>(channels), A{0}), offset(slope);
    for (int64_t c = 0; c < channels; ++c) {
      const double sum = sums[size_t(c)], product = sums[size_t(channels + c)];
      gradients.bias_C.template data_ptr<A>()[c] = static_cast<A>(sum);
      gradients.weight_C.template data_ptr<A>()[c] = static_cast<A>(product * inverses[c]);
      if (!normalisation.from_batch) continue;
      const double mean_scale =
          static_cast<double>(coefficients.scale[size_t(c)]) / static_cast<double>(rows);
      offset[size_t(c)] = static_cast<A>(mean_scale * sum);
      slope[size_t(c)] = static_cast<A>(mean_scale * product * inverses[c] * inverses[c]);
    }
    for_rows(rows, channels, [&](int64_t i, int64_t n) {
      gradients_of({g.row(i), g.stride}, {x.row(i), x.stride}, {dx.row(i), dx.stride}, n, channels,
                   coefficients.affine(), slope.data(), offset.data());
    });
  });
  return gradients;
}

}  // namespace baleen
