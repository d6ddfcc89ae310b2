#include "core/nn/channel_kernels.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <vector>

#include "core/base/tensor_threads.h"
#include "core/nn/channel_loops.h"
#include "core/nn/plain_passes.h"

namespace baleen {
namespace {

using loops::Affine;
using loops::dispatch;
using loops::kGrainElements;
using loops::Kind;
using loops::Rows;

constexpr int64_t kRowsPerFlush = 64;       ///< sums of so many rows stay in the maps' precision
constexpr int64_t kWideElements = 64;       ///< shorter rows are taken several at a time
constexpr int64_t kCachedElements = 16384;  ///< rows that are read twice: so much at a time

/// A map's pixels. Where its channels are few, `copies` neighbouring rows are one row of that many
/// times the channels, or the loops would be shorter than a register.
struct Pixels {
  int64_t rows;
  int64_t channels;
  int64_t copies;

  Pixels(const at::Tensor& map, int64_t num_channels)
      : rows(map.size(0) * map.size(2) * map.size(3)),
        channels(num_channels),
        copies(map.size(1) == num_channels ? std::max<int64_t>(1, kWideElements / num_channels)
                                           : 1) {}
  int64_t width() const { return channels * copies; }
};

template <typename T>
Rows<T> rows_of(const at::Tensor& map) {
  return {static_cast<T*>(map.data_ptr()), map.size(1)};
}

/// `copies` rows from the first on as one, and so on.
template <typename T>
Rows<T> wide(Rows<T> rows, int64_t first, int64_t copies) {
  return {rows.row(first), rows.stride * copies};
}

/// body(first row, number of wide rows, copies in each), each row once, on all threads; what does
/// not fill a wide row comes last.
template <typename Body>
void for_rows(const Pixels& pixels, const Body& body) {
  const int64_t num_wide = pixels.rows / pixels.copies;
  const int64_t grain = std::max<int64_t>(1, kGrainElements / pixels.width());
  split_over_threads(0, num_wide, grain, [&](int64_t begin, int64_t end) {
    body(begin * pixels.copies, end - begin, pixels.copies);
  });
  const int64_t rest = pixels.rows - num_wide * pixels.copies;
  if (rest > 0) body(num_wide * pixels.copies, rest, 1);
}

/// A place for what each thread adds up, and one for the rest of the rows.
int64_t num_places() { return at::get_num_threads() + 1; }
int64_t place_of(const Pixels& pixels, int64_t copies) {
  return copies == pixels.copies ? at::get_thread_num() : num_places() - 1;
}

/// Adds up `num_sums` sums per channel: body(first row, number of wide rows, copies, sums) adds the
/// rows' own to sums, each copies * channels long, one after the other. Partial sums are added in
/// the order of the threads.
template <typename A, typename Body>
std::vector<double> sums_over_rows(const Pixels& pixels, int64_t num_sums, const Body& body) {
  const int64_t room = pixels.width() * num_sums;
  std::vector<double> partial(static_cast<size_t>(room * num_places()), 0.0);
  for_rows(pixels, [&](int64_t first, int64_t count, int64_t copies) {
    double* mine = partial.data() + room * place_of(pixels, copies);
    std::vector<A> few(static_cast<size_t>(pixels.channels * copies * num_sums));
    for (int64_t done = 0; done < count; done += kRowsPerFlush) {
      std::fill(few.begin(), few.end(), A{0});
      body(first + done * copies, std::min(kRowsPerFlush, count - done), copies, few.data());
      for (size_t i = 0; i < few.size(); ++i) mine[i] += static_cast<double>(few[i]);
    }
  });
  std::vector<double> totals(static_cast<size_t>(pixels.channels * num_sums), 0.0);
  for (int64_t place = 0; place < num_places(); ++place) {
    const int64_t copies = place + 1 < num_places() ? pixels.copies : 1;
    for (int64_t sum = 0; sum < num_sums; ++sum) {
      for (int64_t i = 0; i < copies * pixels.channels; ++i)
        totals[size_t(sum * pixels.channels + i % pixels.channels)] +=
            partial[size_t(place * room + sum * copies * pixels.channels + i)];
    }
  }
  return totals;
}

/// Calls body(Kind<activation>{}).
template <typename Body>
void dispatch_kind(Activation activation, const Body& body) {
  switch (activation) {
    case Activation::kNone:
      return body(Kind<Activation::kNone>{});
    case Activation::kReLU:
      return body(Kind<Activation::kReLU>{});
    case Activation::kPReLU:
      return body(Kind<Activation::kPReLU>{});
  }
}

template <typename A>
std::vector<A> repeated(std::vector<A> values, int64_t copies) {
  const size_t once = values.size();
  values.reserve(once * size_t(copies));
  for (size_t i = once; i < once * size_t(copies); ++i) values.push_back(values[i - once]);
  return values;
}

template <typename A>
struct Coefficients {
  std::vector<A> mean, scale, shift, slope;
  Coefficients(const ChannelNorm& n, const Pixels& pixels) {
    const double* means = n.mean_C.const_data_ptr<double>();
    const double* inverses = n.inverse_deviation_C.const_data_ptr<double>();
    const A* weights = n.weight_C.const_data_ptr<A>();
    const A* biases = n.bias_C.const_data_ptr<A>();
    for (int64_t c = 0; c < pixels.channels; ++c) {
      const double factor = inverses[c] * static_cast<double>(weights[c]);
      mean.push_back(static_cast<A>(means[c]));
      scale.push_back(static_cast<A>(factor));
      shift.push_back(static_cast<A>(static_cast<double>(biases[c]) - means[c] * factor));
    }
    if (n.activation == Activation::kPReLU) {
      const A* slopes = n.slope_C.const_data_ptr<A>();
      slope = repeated(std::vector<A>(slopes, slopes + pixels.channels), pixels.copies);
    }
    mean = repeated(std::move(mean), pixels.copies);
    scale = repeated(std::move(scale), pixels.copies);
    shift = repeated(std::move(shift), pixels.copies);
  }
  Affine<A> affine() const { return {mean.data(), scale.data(), shift.data(), slope.data()}; }
};

at::Tensor empty_map(const at::Tensor& like_NCHW, int64_t channels) {
  return at::empty({like_NCHW.size(0), channels, like_NCHW.size(2), like_NCHW.size(3)},
                   like_NCHW.options().requires_grad(false), at::MemoryFormat::ChannelsLast);
}

/// What the moments take away from the gradient of x: factor * (x - mean) + offset.
template <typename A>
struct Correction {
  std::vector<A> factor, offset;
};

/// Fills the parameters' gradients from the sums over rows of the gradient before the activation,
/// of its product with x - mean, and of the slope's.
template <typename A>
Correction<A> finish_gradients(const std::vector<double>& sums, const Pixels& pixels,
                               const ChannelNorm& n, const Coefficients<A>& coefficients,
                               NormGradients& gradients) {
  const double* inverses = n.inverse_deviation_C.const_data_ptr<double>();
  Correction<A> correction{std::vector<A>(size_t(pixels.channels), A{0}),
                           std::vector<A>(size_t(pixels.channels), A{0})};
  for (int64_t c = 0; c < pixels.channels; ++c) {
    const double sum = sums[size_t(c)], product = sums[size_t(pixels.channels + c)];
    gradients.bias_C.data_ptr<A>()[c] = static_cast<A>(sum);
    gradients.weight_C.data_ptr<A>()[c] = static_cast<A>(product * inverses[c]);
    if (gradients.slope_C.defined())
      gradients.slope_C.data_ptr<A>()[c] = static_cast<A>(sums[size_t(2 * pixels.channels + c)]);
    if (!n.from_batch) continue;
    const double mean_scale =
        static_cast<double>(coefficients.scale[size_t(c)]) / static_cast<double>(pixels.rows);
    correction.offset[size_t(c)] = static_cast<A>(mean_scale * sum);
    correction.factor[size_t(c)] = static_cast<A>(mean_scale * product * inverses[c] * inverses[c]);
  }
  correction.factor = repeated(std::move(correction.factor), pixels.copies);
  correction.offset = repeated(std::move(correction.offset), pixels.copies);
  return correction;
}

NormGradients empty_gradients(const at::Tensor& x_NCHW, const ChannelNorm& n) {
  return {.map_NCHW = empty_map(x_NCHW, n.weight_C.numel()),
          .weight_C = at::empty_like(n.weight_C),
          .bias_C = at::empty_like(n.bias_C),
          .slope_C = n.activation == Activation::kPReLU ? at::empty_like(n.slope_C) : at::Tensor(),
          .addend_NCHW = {}};
}

/// The moments of some rows, and their merging (Chan, Golub and LeVeque 1979).
struct Known {
  double count = 0, mean = 0, squares = 0;

  void merge(double other_count, double other_mean, double other_squares) {
    if (other_count == 0) return;
    const double total = count + other_count, distance = other_mean - mean;
    mean += distance * other_count / total;
    squares += other_squares + distance * distance * count * other_count / total;
    count = total;
  }
};

}  // namespace

bool channel_kernels_serve(const at::Tensor& map_NCHW) {
  const auto dtype = map_NCHW.scalar_type();
  return !PlainPasses::active() && map_NCHW.device().is_cpu() &&
         map_NCHW.layout() == at::kStrided && map_NCHW.dim() == 4 && map_NCHW.numel() > 0 &&
         (dtype == at::kFloat || dtype == at::kDouble || dtype == at::kBFloat16) &&
         map_NCHW.is_contiguous(at::MemoryFormat::ChannelsLast);
}

ChannelMoments channel_moments(const at::Tensor& map_NCHW) {
  const int64_t channels = map_NCHW.size(1);
  const Pixels pixels(map_NCHW, channels);
  const auto room = static_cast<size_t>(pixels.width());
  const auto places = static_cast<size_t>(num_places());
  std::vector<int64_t> counts(places, 0);
  std::vector<double> means(room * places, 0.0), squares(room * places, 0.0);
  dispatch(map_NCHW, [&]<typename T, typename A>(T, A) {
    const auto x = rows_of<const T>(map_NCHW);
    const int64_t at_once = std::clamp<int64_t>(kCachedElements / pixels.width(), 16, 64);
    for_rows(pixels, [&](int64_t first, int64_t count, int64_t copies) {
      const auto place = static_cast<size_t>(place_of(pixels, copies));
      std::vector<A> sums(room), centre(room);
      for (int64_t done = 0; done < count; done += at_once) {
        const int64_t now = std::min(at_once, count - done);
        loops::moments_of(wide(x, first + done * copies, copies), now, copies * channels,
                          counts[place], sums.data(), centre.data(), &means[place * room],
                          &squares[place * room]);
        counts[place] += now;
      }
    });
  });
  ChannelMoments moments{at::empty({channels}, at::kDouble), at::empty({channels}, at::kDouble)};
  for (int64_t c = 0; c < channels; ++c) {
    Known known;
    for (size_t place = 0; place < places; ++place) {
      const int64_t copies = place + 1 < places ? pixels.copies : 1;
      for (int64_t copy = 0; copy < copies; ++copy) {
        const size_t i = place * room + size_t(copy * channels + c);
        known.merge(static_cast<double>(counts[place]), means[i], squares[i]);
      }
    }
    moments.mean_C.data_ptr<double>()[c] = known.mean;
    moments.variance_C.data_ptr<double>()[c] = known.squares / known.count;
  }
  return moments;
}

at::Tensor norm_activation_forward(const at::Tensor& x_NCHW, const ChannelNorm& norm) {
  const Pixels pixels(x_NCHW, norm.weight_C.numel());
  at::Tensor y_NCHW = empty_map(x_NCHW, pixels.channels);
  dispatch(x_NCHW, [&]<typename T, typename A>(T, A) {
    const Coefficients<A> coefficients(norm, pixels);
    const auto x = rows_of<const T>(x_NCHW);
    const auto y = rows_of<T>(y_NCHW);
    dispatch_kind(norm.activation, [&](auto kind) {
      for_rows(pixels, [&](int64_t i, int64_t n, int64_t k) {
        loops::forward_of(kind, wide(x, i, k), wide(y, i, k), n, k * pixels.channels,
                          coefficients.affine());
      });
    });
  });
  return y_NCHW;
}

at::Tensor norm_add_relu_forward(const at::Tensor& x_NCHW, const at::Tensor& addend_NCHW,
                                 const ChannelNorm& norm) {
  const Pixels pixels(x_NCHW, x_NCHW.size(1));
  at::Tensor y_NCHW = empty_map(x_NCHW, pixels.channels);
  dispatch(x_NCHW, [&]<typename T, typename A>(T, A) {
    const Coefficients<A> coefficients(norm, pixels);
    const auto x = rows_of<const T>(x_NCHW), addend = rows_of<const T>(addend_NCHW);
    const auto y = rows_of<T>(y_NCHW);
    for_rows(pixels, [&](int64_t i, int64_t n, int64_t k) {
      loops::forward_of_sum(wide(x, i, k), wide(addend, i, k), wide(y, i, k), n,
                            k * pixels.channels, coefficients.affine());
    });
  });
  return y_NCHW;
}

NormGradients norm_activation_backward(const at::Tensor& upstream_NCHW, const at::Tensor& x_NCHW,
                                       const ChannelNorm& norm) {
  const Pixels pixels(x_NCHW, norm.weight_C.numel());
  NormGradients gradients = empty_gradients(x_NCHW, norm);
  const at::Tensor upstream = upstream_NCHW.contiguous(at::MemoryFormat::ChannelsLast);
  const int64_t num_sums = norm.activation == Activation::kPReLU ? 3 : 2;
  dispatch(x_NCHW, [&]<typename T, typename A>(T, A) {
    const Coefficients<A> coefficients(norm, pixels);
    const auto x = rows_of<const T>(x_NCHW), g = rows_of<const T>(upstream);
    const auto dx = rows_of<T>(gradients.map_NCHW);
    dispatch_kind(norm.activation, [&](auto kind) {
      const auto sums =
          sums_over_rows<A>(pixels, num_sums, [&](int64_t i, int64_t n, int64_t k, A* few) {
            const int64_t width = k * pixels.channels;
            loops::gradient_sums_of(kind, wide(g, i, k), wide(x, i, k), n, width,
                                    coefficients.affine(), few, few + width,
                                    num_sums > 2 ? few + 2 * width : nullptr);
          });
      const Correction<A> correction =
          finish_gradients<A>(sums, pixels, norm, coefficients, gradients);
      for_rows(pixels, [&](int64_t i, int64_t n, int64_t k) {
        loops::gradients_of(kind, wide(g, i, k), wide(x, i, k), wide(dx, i, k), n,
                            k * pixels.channels, coefficients.affine(), correction.factor.data(),
                            correction.offset.data());
      });
    });
  });
  return gradients;
}

NormGradients norm_add_relu_backward(const at::Tensor& upstream_NCHW, const at::Tensor& x_NCHW,
                                     const at::Tensor& y_NCHW, const ChannelNorm& norm) {
  const Pixels pixels(x_NCHW, x_NCHW.size(1));
  NormGradients gradients = empty_gradients(x_NCHW, norm);
  gradients.addend_NCHW = empty_map(x_NCHW, pixels.channels);
  const at::Tensor upstream = upstream_NCHW.contiguous(at::MemoryFormat::ChannelsLast);
  dispatch(x_NCHW, [&]<typename T, typename A>(T, A) {
    const Coefficients<A> coefficients(norm, pixels);
    const auto x = rows_of<const T>(x_NCHW), g = rows_of<const T>(upstream),
               y = rows_of<const T>(y_NCHW), d = rows_of<const T>(gradients.addend_NCHW);
    const auto kept = rows_of<T>(gradients.addend_NCHW), dx = rows_of<T>(gradients.map_NCHW);
    const auto sums = sums_over_rows<A>(pixels, 2, [&](int64_t i, int64_t n, int64_t k, A* few) {
      const int64_t width = k * pixels.channels;
      loops::gradient_sums_of_sum(wide(g, i, k), wide(x, i, k), wide(y, i, k), wide(kept, i, k), n,
                                  width, coefficients.mean.data(), few, few + width);
    });
    const Correction<A> correction =
        finish_gradients<A>(sums, pixels, norm, coefficients, gradients);
    for_rows(pixels, [&](int64_t i, int64_t n, int64_t k) {
      loops::gradients_of(Kind<Activation::kNone>{}, wide(d, i, k), wide(x, i, k), wide(dx, i, k),
                          n, k * pixels.channels, coefficients.affine(), correction.factor.data(),
                          correction.offset.data());
    });
  });
  return gradients;
}

}  // namespace baleen
