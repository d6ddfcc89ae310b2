#include "core/nn/max_pool.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "core/base/tensor_threads.h"
#include "core/nn/channel_kernels.h"
#include "core/nn/loop_types.h"

namespace baleen {
namespace loops {

/// Takes what is larger, or not a number, with its place in the window.
template <typename T, typename A>
BALEEN_INLINE void take_larger(const T* __restrict x, int64_t channels, int32_t place,
                               A* __restrict best, int32_t* __restrict places) {
  for (int64_t c = 0; c < channels; ++c) {
    const A value = load(x[c]);
    const bool larger = (value > best[c]) | (value != value);
    best[c] = larger ? value : best[c];
    places[c] = larger ? place : places[c];
  }
}

/// The gradient of those results that came from this place.
template <typename T, typename A>
BALEEN_INLINE void copy_from(const T* __restrict g, const uint8_t* __restrict places,
                             int64_t channels, int32_t place, T* __restrict dx) {
  for (int64_t c = 0; c < channels; ++c)
    store_unrounded(dx[c], zero_if(static_cast<int32_t>(places[c]) != place, load(g[c])));
}

template <typename T, typename A>
BALEEN_INLINE void add_from(const T* __restrict g, const uint8_t* __restrict places,
                            int64_t channels, int32_t place, A* __restrict sums) {
  for (int64_t c = 0; c < channels; ++c)
    sums[c] += zero_if(static_cast<int32_t>(places[c]) != place, load(g[c]));
}

#define BALEEN_POOL_LOOPS(T, A)                                                                \
  BALEEN_EACH_INSTRUCTION_SET void take_larger_of(const T* x, int64_t channels, int32_t place, \
                                                  A* best, int32_t* places) {                  \
    take_larger<T, A>(x, channels, place, best, places);                                       \
  }                                                                                            \
  BALEEN_EACH_INSTRUCTION_SET void copy_gradient(const T* g, const uint8_t* places,            \
                                                 int64_t channels, int32_t place, T* dx) {     \
    copy_from<T, A>(g, places, channels, place, dx);                                           \
  }                                                                                            \
  BALEEN_EACH_INSTRUCTION_SET void add_gradient(const T* g, const uint8_t* places,             \
                                                int64_t channels, int32_t place, A* sums) {    \
    add_from<T, A>(g, places, channels, place, sums);                                          \
  }
BALEEN_POOL_LOOPS(float, float)
BALEEN_POOL_LOOPS(double, double)
BALEEN_POOL_LOOPS(BFloat16, float)
#undef BALEEN_POOL_LOOPS

}  // namespace loops

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Along one side of a map.
struct Side {
  int64_t size, kernel, stride, padding, outputs;

  Side(int64_t size_px, size_t d, const PoolWindow& window)
      : size(size_px),
        kernel(window.kernel[d]),
        stride(window.stride[d]),
        padding(window.padding[d]) {
    const int64_t room = size + 2 * padding - kernel;
    outputs = (room + (window.ceil_mode ? stride - 1 : 0)) / stride + 1;
    // A window that would begin in the padding behind the map is none.
    if (window.ceil_mode && (outputs - 1) * stride >= size + padding) --outputs;
  }
  int64_t start(int64_t output) const { return output * stride - padding; }
  int64_t first(int64_t output) const { return std::max<int64_t>(0, start(output)); }
  int64_t last(int64_t output) const { return std::min(start(output) + kernel, size); }
  /// Outputs whose windows hold a pixel: [from, to).
  int64_t from(int64_t pixel) const {
    const int64_t past = pixel + padding - kernel;
    return past < 0 ? 0 : past / stride + 1;
  }
  int64_t to(int64_t pixel) const { return std::min((pixel + padding) / stride + 1, outputs); }
};

bool may_serve(const at::Tensor& x_NCHW, const PoolWindow& window) {
  if (!channel_kernels_serve(x_NCHW)) return false;
  if (window.kernel[0] * window.kernel[1] > std::numeric_limits<uint8_t>::max()) return false;
  for (size_t d = 0; d < 2; ++d) {
    const int64_t size = x_NCHW.size(static_cast<int64_t>(2 + d));
    // What at::max_pool2d refuses is left for it to refuse.
    if (window.kernel[d] < 1 || window.stride[d] < 1 || 2 * window.padding[d] > window.kernel[d] ||
        window.padding[d] < 0 || size + 2 * window.padding[d] < window.kernel[d])
      return false;
  }
  return true;
}

struct Pooled {
  at::Tensor values_NCHW, places_NCHW;
};

Pooled pool(const at::Tensor& x_NCHW, const Side& down, const Side& across) {
  const int64_t images = x_NCHW.size(0), channels = x_NCHW.size(1);
  Pooled pooled;
  pooled.values_NCHW =
      at::empty({images, channels, down.outputs, across.outputs},
                x_NCHW.options().requires_grad(false), at::MemoryFormat::ChannelsLast);
  pooled.places_NCHW =
      at::empty_like(pooled.values_NCHW, pooled.values_NCHW.options().dtype(at::kByte));
  auto* places = pooled.places_NCHW.data_ptr<uint8_t>();
  loops::dispatch(x_NCHW, [&]<typename T, typename A>(T, A) {
    const auto* x = static_cast<const T*>(x_NCHW.const_data_ptr());
    auto* y = static_cast<T*>(pooled.values_NCHW.data_ptr());
    const int64_t window = down.kernel * across.kernel;
    const int64_t grain = std::max<int64_t>(1, loops::kGrainElements / (channels * window));
    split_over_threads(
        0, images * down.outputs * across.outputs, grain, [&](int64_t i, int64_t end) {
          std::vector<A> best(static_cast<size_t>(channels));
          std::vector<int32_t> from(static_cast<size_t>(channels));
          for (; i < end; ++i) {
            const int64_t ow = i % across.outputs, oh = i / across.outputs % down.outputs;
            const T* image =
                x + i / across.outputs / down.outputs * down.size * across.size * channels;
            // Where nothing is larger than this, the window's first pixel is taken.
            std::fill(best.begin(), best.end(), -std::numeric_limits<A>::infinity());
            const int64_t top = down.first(oh), left = across.first(ow);
            const auto place = [&](int64_t ih, int64_t iw) {
              return static_cast<int32_t>((ih - down.start(oh)) * across.kernel + iw -
                                          across.start(ow));
            };
            std::fill(from.begin(), from.end(), place(top, left));
            for (int64_t ih = top; ih < down.last(oh); ++ih) {
              for (int64_t iw = left; iw < across.last(ow); ++iw)
                loops::take_larger_of(image + (ih * across.size + iw) * channels, channels,
                                      place(ih, iw), best.data(), from.data());
            }
            for (int64_t c = 0; c < channels; ++c) {
              loops::store_unrounded(y[i * channels + c], best[size_t(c)]);
              places[i * channels + c] = static_cast<uint8_t>(from[size_t(c)]);
            }
          }
        });
  });
  return pooled;
}

at::Tensor unpool(const at::Tensor& upstream_NCHW, const at::Tensor& places_NCHW, const Side& down,
                  const Side& across) {
  const at::Tensor upstream = upstream_NCHW.contiguous(at::MemoryFormat::ChannelsLast);
  const int64_t images = upstream.size(0), channels = upstream.size(1);
  at::Tensor gradient_NCHW = at::empty({images, channels, down.size, across.size},
                                       upstream.options(), at::MemoryFormat::ChannelsLast);
  const auto* places = places_NCHW.const_data_ptr<uint8_t>();
  loops::dispatch(upstream, [&]<typename T, typename A>(T, A) {
    const auto* g = static_cast<const T*>(upstream.const_data_ptr());
    auto* dx = static_cast<T*>(gradient_NCHW.data_ptr());
    const int64_t grain = std::max<int64_t>(1, loops::kGrainElements / channels);
    split_over_threads(0, images * down.size * across.size, grain, [&](int64_t i, int64_t end) {
      std::vector<A> sums(static_cast<size_t>(channels));
      for (; i < end; ++i) {
        const int64_t iw = i % across.size, ih = i / across.size % down.size;
        const int64_t image = i / across.size / down.size * down.outputs;
        T* to = dx + i * channels;
        const int64_t top = down.from(ih), bottom = down.to(ih);
        const int64_t left = across.from(iw), right = across.to(iw);
        const auto at_output = [&](int64_t oh, int64_t ow) {
          return ((image + oh) * across.outputs + ow) * channels;
        };
        const auto place = [&](int64_t oh, int64_t ow) {
          return static_cast<int32_t>((ih - down.start(oh)) * across.kernel + iw -
                                      across.start(ow));
        };
        if (bottom - top == 1 && right - left == 1) {
          const int64_t from = at_output(top, left);
          loops::copy_gradient(g + from, places + from, channels, place(top, left), to);
          continue;
        }
        std::fill(sums.begin(), sums.end(), A{0});
        for (int64_t oh = top; oh < bottom; ++oh) {
          for (int64_t ow = left; ow < right; ++ow) {
            const int64_t from = at_output(oh, ow);
            loops::add_gradient(g + from, places + from, channels, place(oh, ow), sums.data());
          }
        }
        for (int64_t c = 0; c < channels; ++c) loops::store(to[c], sums[size_t(c)]);
      }
    });
  });
  return gradient_NCHW;
}

struct MaxPool : torch::autograd::Function<MaxPool> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x_NCHW,
                            const PoolWindow& window) {
    const Side down(x_NCHW.size(2), 0, window), across(x_NCHW.size(3), 1, window);
    const Pooled pooled = pool(x_NCHW, down, across);
    context->save_for_backward({pooled.places_NCHW});
    context->saved_data["sizes"] = std::vector<int64_t>{x_NCHW.size(2), x_NCHW.size(3)};
    using Named = std::pair<const char*, std::array<int64_t, 2>>;
    for (const auto& [name, both] : {Named{"kernel", window.kernel}, Named{"stride", window.stride},
                                     Named{"padding", window.padding}})
      context->saved_data[name] = std::vector<int64_t>{both[0], both[1]};
    context->saved_data["ceil_mode"] = window.ceil_mode;
    return pooled.values_NCHW;
  }
  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    const auto pair = [&](const char* name) {
      const std::vector<int64_t> both = context->saved_data[name].toIntVector();
      return std::array<int64_t, 2>{both[0], both[1]};
    };
    const PoolWindow window{pair("kernel"), pair("stride"), pair("padding"),
                            context->saved_data["ceil_mode"].toBool()};
    const auto [height, width] = pair("sizes");
    return {unpool(upstream[0], context->get_saved_variables()[0], Side(height, 0, window),
                   Side(width, 1, window)),
            at::Tensor()};
  }
};

}  // namespace

at::Tensor max_pool(const at::Tensor& x_NCHW, const PoolWindow& window) {
  if (may_serve(x_NCHW, window)) return MaxPool::apply(x_NCHW, window);
  return at::max_pool2d(x_NCHW, window.kernel, window.stride, window.padding, /*dilation=*/{1, 1},
                        window.ceil_mode);
}

}  // namespace baleen
