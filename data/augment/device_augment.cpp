#include "data/augment/device_augment.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include "data/augment/colour.h"
#include "data/augment/elastic.h"
#include "data/augment/image_changes.h"
#include "data/augment/noise.h"
#include "data/augment/tensor_draws.h"
#include "data/augment/warp.h"

// Letters: N images, S their side in pixels, C stored channels, G points of a side of an elastic
// grid.

namespace baleen {
namespace {

using Draws = std::span<const AugmentDraw>;

template <class Predicate>
bool any_of(Draws draws, const Predicate& predicate) {
  return std::any_of(draws.begin(), draws.end(), predicate);
}

at::Tensor rounded(const at::Tensor& levels) { return at::floor(levels + 0.5); }

/// [N] as [N, 1, 1, 1].
at::Tensor per_image(const at::Tensor& values_N) { return values_N.view({-1, 1, 1, 1}); }

/// Padded shift and symmetry: a choice of pixels, exact.
at::Tensor rearranged(const at::Tensor& images_NCSS, Draws draws) {
  if (!any_of(draws, [](const AugmentDraw& d) {
        return d.symmetry != D4::kIdentity || d.shift_down_px != 0 || d.shift_right_px != 0;
      }))
    return images_NCSS;
  const int64_t n = images_NCSS.size(0);
  const int64_t s = images_NCSS.size(2);
  const auto walk = [s](const AugmentDraw& d) { return d4_walk(d.symmetry, s, s, s, 1); };
  const at::Device device = images_NCSS.device();
  const auto column = [&](const auto& value) {
    return integers_of(draws, value, device).view({-1, 1, 1});
  };
  const at::Tensor steps = at::arange(s, at::TensorOptions(at::kLong).device(device));
  const at::Tensor place_NSS =
      column([&](const AugmentDraw& d) { return walk(d).offset; }) +
      column([&](const AugmentDraw& d) { return walk(d).row_stride; }) * steps.view({1, s, 1}) +
      column([&](const AugmentDraw& d) { return walk(d).column_stride; }) * steps.view({1, 1, s});
  // -1 → 1, S → S - 2: the border mirrored without the edge.
  const auto into = [s](const at::Tensor& at) { return (s - 1) - ((s - 1) - at.abs()).abs(); };
  const at::Tensor rows = into(at::floor_divide(place_NSS, s) -
                               column([](const AugmentDraw& d) { return d.shift_down_px; }));
  const at::Tensor columns = into(at::remainder(place_NSS, s) -
                                  column([](const AugmentDraw& d) { return d.shift_right_px; }));
  const at::Tensor index =
      (rows * s + columns).view({n, 1, s * s}).expand({-1, images_NCSS.size(1), -1});
  return images_NCSS.reshape({n, -1, s * s}).gather(2, index).view(images_NCSS.sizes());
}

/// Binomial blur of the images that want one.
at::Tensor blurred(const at::Tensor& levels_NCSS, Draws draws) {
  if (!any_of(draws, [](const AugmentDraw& d) { return d.blur_px > 0; })) return levels_NCSS;
  const int64_t s = levels_NCSS.size(2);
  std::vector<int64_t> places;
  for (int64_t i = -2; i < s + 2; ++i) {
    int64_t at = i;
    while (s > 1 && (at < 0 || at >= s)) at = at < 0 ? -at : 2 * (s - 1) - at;
    places.push_back(s > 1 ? at : 0);
  }
  const at::Tensor index = at::tensor(places, at::kLong).to(levels_NCSS.device());
  at::Tensor result = levels_NCSS;
  for (int64_t axis : {3, 2}) {
    const at::Tensor padded = result.index_select(axis, index);
    at::Tensor sum;
    for (int64_t tap = 0; tap < 5; ++tap) {
      const auto weight = [tap](const AugmentDraw& d) {
        constexpr std::array<double, 5> k5 = {1.0 / 16, 4.0 / 16, 6.0 / 16, 4.0 / 16, 1.0 / 16};
        constexpr std::array<double, 5> k3 = {0, 0.25, 0.5, 0.25, 0};
        const size_t i = static_cast<size_t>(tap);
        return d.blur_px == 5 ? k5[i] : d.blur_px == 3 ? k3[i] : tap == 2 ? 1.0 : 0.0;
      };
      const at::Tensor part = per_image(numbers_of(draws, weight, levels_NCSS.device())) *
                              padded.slice(axis, tap, tap + s);
      sum = sum.defined() ? sum.add_(part) : part;
    }
    result = sum;
  }
  return rounded(result);
}

at::Tensor with_cutout(const at::Tensor& inputs_NCSS, Draws draws) {
  if (!any_of(draws, [](const AugmentDraw& d) { return d.cutout.size > 0; })) return inputs_NCSS;
  const int64_t s = inputs_NCSS.size(2);
  const at::Device device = inputs_NCSS.device();
  const auto edge = [&](const auto& value) {
    return per_image(integers_of(
        draws,
        [&](const AugmentDraw& d) {
          return d.cutout.size > 0 ? value(cutout_box(d.cutout, s)) : int64_t{0};
        },
        device));
  };
  const at::Tensor steps = at::arange(s, at::TensorOptions(at::kLong).device(device));
  const at::Tensor y = steps.view({1, 1, s, 1});
  const at::Tensor x = steps.view({1, 1, 1, s});
  const at::Tensor inside = (y >= edge([](const PixelBox& b) { return b.top; })) &
                            (y < edge([](const PixelBox& b) { return b.top + b.height; })) &
                            (x >= edge([](const PixelBox& b) { return b.left; })) &
                            (x < edge([](const PixelBox& b) { return b.left + b.width; }));
  return inputs_NCSS.masked_fill(inside, 0.0);
}

at::Tensor mixed(const at::Tensor& inputs_NCSS, const MixupDraw& mixup) {
  if (mixup.partners.empty()) return inputs_NCSS;
  const at::Device device = inputs_NCSS.device();
  const at::Tensor others =
      inputs_NCSS.index_select(0, on_device(at::tensor(mixup.partners, at::kLong), device));
  const at::Tensor weights = on_device(at::tensor(mixup.weights, at::kFloat), device);
  return others + per_image(weights) * (inputs_NCSS - others);
}

/// [S, G]: smoothing of one axis followed by bilinear enlargement.
at::Tensor field_matrix(double sigma, int64_t size_px) {
  const int64_t n = elastic_grid(sigma);
  const std::vector<float> kernel = elastic_kernel(sigma);
  const int64_t radius = static_cast<int64_t>(kernel.size()) / 2;
  at::Tensor smooth = at::zeros({n, n}, at::kDouble);
  auto cells = smooth.accessor<double, 2>();
  for (int64_t i = 0; i < n; ++i)
    for (int64_t k = -radius; k <= radius; ++k)
      cells[i][mirrored(i + k, n)] += static_cast<double>(kernel[static_cast<size_t>(k + radius)]);
  const double scale = static_cast<double>(n) / static_cast<double>(size_px);
  const at::Tensor places =
      ((at::arange(size_px, at::kDouble) + 0.5) * scale - 0.5).clamp(0, static_cast<double>(n - 1));
  const at::Tensor points = at::arange(n, at::kDouble);
  // A triangle about each place: the weights of bilinear interpolation.
  const at::Tensor enlarge = (1 - (places.unsqueeze(1) - points.unsqueeze(0)).abs()).clamp_min(0);
  return enlarge.matmul(smooth).to(at::kFloat);
}

}  // namespace

DeviceAugment::DeviceAugment(Options options) : options_(std::move(options)) {}

/// [N, 2, S, S]: dy and dx of every pixel.
at::Tensor DeviceAugment::displacements(Draws draws, const at::Tensor& seeds_N,
                                        const at::Tensor& factors_N, int64_t size_px) {
  double sigma = 0;  // one stage has one sigma
  for (const AugmentDraw& draw : draws)
    if (draw.elastic.alpha > 0) sigma = draw.elastic.sigma;
  const bool stale = !field_matrix_SG_.defined() || field_sigma_ != sigma ||
                     field_matrix_SG_.size(0) != size_px ||
                     field_matrix_SG_.device() != seeds_N.device();
  if (stale) {
    field_matrix_SG_ = field_matrix(sigma, size_px).to(seeds_N.device());
    field_sigma_ = sigma;
  }
  const int64_t n = field_matrix_SG_.size(1);
  const at::Tensor bits = counter_draws(seeds_N, 2 * n * n);
  const at::Tensor noise_N2GG =
      (shifted_right(bits, 40).to(at::kFloat) * 0x1.0p-23 - 1.0).view({-1, 2, n, n});
  return per_image(factors_N) * field_matrix_SG_.matmul(noise_N2GG).matmul(field_matrix_SG_.t());
}

at::Tensor DeviceAugment::warped(const at::Tensor& images_NCSS, Draws draws) {
  const bool bends = any_of(draws, [](const AugmentDraw& d) { return d.elastic.alpha > 0; });
  if (!bends && !any_of(draws, [](const AugmentDraw& d) { return d.moves; }))
    return images_NCSS.to(at::kFloat);
  const int64_t s = images_NCSS.size(2);
  const at::Device device = images_NCSS.device();
  std::vector<PixelMap> maps;
  for (const AugmentDraw& draw : draws)
    maps.push_back(draw.moves ? pixel_map(affine_of(draw.affine, s)) : PixelMap{});
  const auto entry = [&](float PixelMap::*member) {
    size_t i = 0;
    return numbers_of(
               draws, [&](const AugmentDraw&) { return static_cast<double>(maps[i++].*member); },
               device)
        .view({-1, 1, 1});
  };
  const at::Tensor steps = at::arange(s, at::TensorOptions(at::kFloat).device(device));
  const at::Tensor y = steps.view({1, s, 1});
  const at::Tensor x = steps.view({1, 1, s});
  at::Tensor at_y = entry(&PixelMap::yy) * y + entry(&PixelMap::y0) + entry(&PixelMap::yx) * x;
  at::Tensor at_x = entry(&PixelMap::xy) * y + entry(&PixelMap::x0) + entry(&PixelMap::xx) * x;
  const double last = static_cast<double>(s - 1);
  const auto within = [&](const at::Tensor& at) {
    return (at >= -kOutsideTolerancePx) & (at <= last + kOutsideTolerancePx);
  };
  const at::Tensor inside = (within(at_y) & within(at_x)).unsqueeze(1);
  if (bends) {
    const at::Tensor seeds = integers_of(
        draws, [](const AugmentDraw& d) { return std::bit_cast<int64_t>(d.elastic.seed); }, device);
    const at::Tensor factors = numbers_of(
        draws, [s](const AugmentDraw& d) { return d.elastic.alpha * static_cast<double>(s); },
        device);
    const at::Tensor moves_N2SS = displacements(draws, seeds, factors, s);
    at_y = at_y + moves_N2SS.select(1, 0);
    at_x = at_x + moves_N2SS.select(1, 1);
  }
  const double side = static_cast<double>(s);
  const auto into = [&](const at::Tensor& at) {
    const at::Tensor folded = side - (at::remainder(at + 0.5, 2 * side) - side).abs();
    const at::Tensor mirrored_at = (folded - 0.5).clamp(0.0, last);
    return at::where((at >= 0) & (at <= last), at, mirrored_at);
  };
  const double scale = 2.0 / std::max(last, 1.0);
  const at::Tensor grid = at::stack({into(at_x) * scale - 1.0, into(at_y) * scale - 1.0}, -1);
  const at::Tensor sampled =
      at::grid_sampler_2d(images_NCSS.to(at::kFloat), grid, /*interpolation_mode: bilinear*/ 0,
                          /*padding_mode: border*/ 1, /*align_corners=*/true);
  const int64_t area = s * s;
  const at::Tensor sums = images_NCSS.sum({2, 3}, /*keepdim=*/true, at::kLong);
  const at::Tensor outside = at::floor_divide(2 * sums + area, 2 * area).to(at::kFloat);
  return at::where(inside, rounded(sampled), outside);
}

/// From levels of 0 to 255 to pixels in [0, 1].
at::Tensor DeviceAugment::coloured(const at::Tensor& images_NCSS, Draws draws) {
  const int64_t channels = images_NCSS.size(1);
  const at::Device device = images_NCSS.device();
  const auto number = [&](const auto& value) {
    return per_image(numbers_of(draws, value, device));
  };
  at::Tensor pixels = images_NCSS / 255.0;
  if (any_of(draws, [](const AugmentDraw& d) { return d.brightness != 1 || d.contrast != 1; })) {
    at::Tensor line =
        pixels * number([](const AugmentDraw& d) { return d.contrast * d.brightness; });
    if (any_of(draws, [](const AugmentDraw& d) { return d.contrast != 1; }))
      line = line + number([](const AugmentDraw& d) { return (1 - d.contrast) * d.brightness; }) *
                        pixels.mean({1, 2, 3}, /*keepdim=*/true);
    pixels = line.clamp(0.0, 1.0);
  }
  if (any_of(draws, [](const AugmentDraw& d) { return d.gamma != 1; }))
    pixels = pixels.pow(number([](const AugmentDraw& d) { return d.gamma; }));
  if (any_of(draws, [](const AugmentDraw& d) { return d.lighting != std::array<double, 3>{}; })) {
    std::vector<at::Tensor> shifts;
    for (size_t c = 0; c < static_cast<size_t>(channels); ++c)
      shifts.push_back(number([&](const AugmentDraw& d) {
        const std::array<double, 3>& l = d.lighting;
        return channels == 3 ? l[c] : (l[0] + l[1] + l[2]) / 3;
      }));
    pixels = (pixels + at::cat(shifts, 1)).clamp(0.0, 1.0);
  }
  if (channels == 3 && any_of(draws, [](const AugmentDraw& d) { return d.saturation != 1; })) {
    const at::Tensor grey = kLuma[0] * pixels.narrow(1, 0, 1) + kLuma[1] * pixels.narrow(1, 1, 1) +
                            kLuma[2] * pixels.narrow(1, 2, 1);
    const at::Tensor amount = number([](const AugmentDraw& d) { return d.saturation; });
    pixels = (grey + amount * (pixels - grey)).clamp(0.0, 1.0);
  }
  if (any_of(draws, [](const AugmentDraw& d) { return d.noise > 0; })) {
    if (!quantiles_.defined() || quantiles_.device() != device) {
      const std::span<const float> values = normal_quantiles();
      quantiles_ = at::tensor(std::vector<float>(values.begin(), values.end())).to(device);
    }
    const at::Tensor seeds = integers_of(
        draws, [](const AugmentDraw& d) { return std::bit_cast<int64_t>(d.noise_seed); }, device);
    const at::Tensor noise =
        normal_numbers(seeds, images_NCSS.size(2), channels * images_NCSS.size(3), quantiles_)
            .view({-1, images_NCSS.size(2), channels, images_NCSS.size(3)})
            .permute({0, 2, 1, 3});
    pixels =
        (pixels + number([](const AugmentDraw& d) { return d.noise; }) * noise).clamp(0.0, 1.0);
  }
  return pixels;
}

at::Tensor DeviceAugment::normalised(const at::Tensor& levels_NCSS) {
  const auto row = [&](const std::vector<double>& values) {
    return on_device(at::tensor(values, at::kFloat), levels_NCSS.device()).view({1, -1, 1, 1});
  };
  std::vector<double> scales;
  for (double std : options_.normalise.std) scales.push_back(1.0 / std);
  const at::Tensor pixels = levels_NCSS.expand({-1, options_.channels, -1, -1});
  return (pixels - row(options_.normalise.mean)) * row(scales);
}

at::Tensor DeviceAugment::operator()(const at::Tensor& images_NSSC, Draws draws,
                                     const MixupDraw& mixup) {
  const at::NoGradGuard no_grad;
  const at::Tensor images = rearranged(images_NSSC.permute({0, 3, 1, 2}).contiguous(), draws);
  const at::Tensor levels = blurred(warped(images, draws), draws);
  const at::Tensor inputs = with_cutout(normalised(coloured(levels, draws)), draws);
  return mixed(inputs, mixup)
      .contiguous(options_.channels_last ? at::MemoryFormat::ChannelsLast
                                         : at::MemoryFormat::Contiguous);
}

}  // namespace baleen
