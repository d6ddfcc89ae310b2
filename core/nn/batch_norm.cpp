#include "core/nn/batch_norm.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>
#include <utility>

#include "core/base/error.h"

namespace baleen {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

thread_local SynchronisedStatistics* current_scope = nullptr;

/// Mean and biased variance [C] of the global batch in float64 on the CPU, and its size.
struct GlobalStatistics {
  at::Tensor mean_C, variance_C;
  double count = 0;
};

/// The dimensions of a map that are summed over: all but the second.
std::vector<int64_t> all_but_channels(const at::Tensor& x) {
  std::vector<int64_t> dimensions{0};
  for (int64_t d = 2; d < x.dim(); ++d) dimensions.push_back(d);
  return dimensions;
}

/// As a factor for maps like x.
at::Tensor per_channel(const at::Tensor& values_C, const at::Tensor& x) {
  std::vector<int64_t> sizes(static_cast<size_t>(x.dim()), 1);
  sizes[1] = -1;
  return values_C.view(sizes);
}

GlobalStatistics combine(StatisticsExchange& exchange, const at::Tensor& x) {
  const int64_t channels = x.size(1);
  const auto count = static_cast<double>(x.numel() / channels);
  // Of half-precision maps in float32, as the fused kernels do.
  const bool half = x.scalar_type() == at::kHalf || x.scalar_type() == at::kBFloat16;
  const auto [variance, mean] =
      at::var_mean(half ? x.to(at::kFloat) : x, all_but_channels(x), /*unbiased=*/false);
  const at::Tensor row = at::cat({at::full({1}, count, at::kDouble), mean.to(at::kCPU, at::kDouble),
                                  variance.to(at::kCPU, at::kDouble)});
  const at::Tensor rows = exchange.gather(row);
  GlobalStatistics all;
  all.mean_C = at::zeros({channels}, at::kDouble);
  all.variance_C = at::zeros({channels}, at::kDouble);
  for (int64_t s = 0; s < rows.size(0); ++s) {
    const double n = rows[s][0].item<double>();
    all.mean_C.add_(rows[s].narrow(0, 1, channels), n);
    all.count += n;
  }
  all.mean_C.div_(all.count);
  for (int64_t s = 0; s < rows.size(0); ++s) {
    const double n = rows[s][0].item<double>();
    const at::Tensor distance = rows[s].narrow(0, 1, channels) - all.mean_C;
    all.variance_C.add_(rows[s].narrow(0, 1 + channels, channels) + distance * distance, n);
  }
  all.variance_C.div_(all.count);
  return all;
}

/// Batch normalisation by given statistics whose gradient knows that they are the batch's own.
struct SynchronisedNorm : torch::autograd::Function<SynchronisedNorm> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& scale_C,
                            const at::Tensor& shift_C, const at::Tensor& mean_C,
                            const at::Tensor& variance_C, double count, double epsilon,
                            int64_t exchange) {
    const at::Tensor inverse_C = (variance_C + epsilon).rsqrt();
    ctx->save_for_backward({x, scale_C, mean_C, inverse_C});
    ctx->saved_data["count"] = count;
    ctx->saved_data["exchange"] = exchange;
    ctx->saved_data["has_shift"] = shift_C.defined();
    return std::get<0>(at::native_batch_norm(x, scale_C, shift_C, mean_C, variance_C,
                                             /*training=*/false, /*momentum=*/0.0, epsilon));
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &scale_C = saved[1], &mean_C = saved[2], &inverse_C = saved[3];
    const double count = ctx->saved_data["count"].toDouble();
    auto& exchange = *reinterpret_cast<StatisticsExchange*>(ctx->saved_data["exchange"].toInt());
    // Statistics are float32 for half-precision maps: so is the arithmetic here.
    const at::Tensor dy = gradients[0].to(mean_C.scalar_type());
    const at::Tensor normalised = (x - per_channel(mean_C, x)).mul_(per_channel(inverse_C, x));
    const at::Tensor sum_dy_C = dy.sum(all_but_channels(dy));
    const at::Tensor sum_dy_x_C = (dy * normalised).sum(all_but_channels(dy));
    const at::Tensor rows = exchange.gather(
        at::cat({sum_dy_C.to(at::kCPU, at::kDouble), sum_dy_x_C.to(at::kCPU, at::kDouble)}));
    const at::Tensor means = sum_in_order(rows).div_(count).to(mean_C.options());
    const int64_t channels = mean_C.numel();
    at::Tensor factor_C = inverse_C;
    if (scale_C.defined()) factor_C = factor_C * scale_C.to(inverse_C.scalar_type());
    const at::Tensor dx =
        (dy - per_channel(means.narrow(0, 0, channels), x))
            .sub_(normalised * per_channel(means.narrow(0, channels, channels), x))
            .mul_(per_channel(factor_C, x));
    return {dx.to(x.scalar_type()),
            scale_C.defined() ? sum_dy_x_C : at::Tensor(),
            ctx->saved_data["has_shift"].toBool() ? sum_dy_C : at::Tensor(),
            {},
            {},
            {},
            {},
            {}};
  }
};

template <class Norm>
void move_running_statistics(Norm& norm, const GlobalStatistics& all) {
  if (!norm.running_mean.defined()) return;
  const at::NoGradGuard no_grad;
  norm.num_batches_tracked.add_(1);
  const double share =
      norm.options.momentum()
          ? *norm.options.momentum()
          : 1.0 / norm.num_batches_tracked.template item<double>();  // a plain average
  const double unbiased = all.count / std::max(all.count - 1.0, 1.0);
  norm.running_mean.mul_(1.0 - share).add_(all.mean_C.to(norm.running_mean.options()), share);
  norm.running_var.mul_(1.0 - share)
      .add_((all.variance_C * unbiased).to(norm.running_var.options()), share);
}

template <class Norm>
at::Tensor synchronised(Norm& norm, const at::Tensor& x, const SynchronisedStatistics& scope) {
  GlobalStatistics all;
  {
    const at::NoGradGuard no_grad;
    all = combine(scope.exchange(), x);
  }
  if (!(all.count > 1.0)) {
    throw Error(ErrorKind::kConfiguration, "batch norm over one value per channel has no variance",
                "take larger batches or images");
  }
  if (scope.moves_statistics()) move_running_statistics(norm, all);
  const auto dtype = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const auto options = x.options().dtype(dtype).requires_grad(false);
  return SynchronisedNorm::apply(x, norm.weight, norm.bias, all.mean_C.to(options),
                                 all.variance_C.to(options), all.count, norm.options.eps(),
                                 reinterpret_cast<int64_t>(&scope.exchange()));
}

/// The classes have no base in common that knows of statistics.
template <class Action>
void for_each_norm(const torch::nn::Module& network, Action&& action) {
  for (const auto& module : network.modules(/*include_self=*/false)) {
    if (auto* flat = module->as<torch::nn::BatchNorm1d>()) action(*flat);
    if (auto* layer = module->as<torch::nn::BatchNorm2d>()) action(*layer);
    if (auto* volume = module->as<torch::nn::BatchNorm3d>()) action(*volume);
  }
}

}  // namespace

BatchNormMode batch_norm_mode_from_name(const std::string& name) {
  if (name == "local") return BatchNormMode::kLocal;
  if (name == "sync") return BatchNormMode::kSync;
  if (name == "frozen") return BatchNormMode::kFrozen;
  throw Error(ErrorKind::kConfiguration, fmt::format("unknown batch_norm '{}'", name),
              "known: local, sync, frozen");
}

namespace {

template <class Norm>
at::Tensor normalise(Norm& norm, const at::Tensor& x) {
  if (!norm.is_training()) return norm.forward(x);
  if (current_scope) return synchronised(norm, x, *current_scope);
  if (x.numel() == x.size(1))
    throw Error(
        ErrorKind::kConfiguration,
        "batch norm has one value per channel, of which there is no variance: a shard of one "
        "image, whose map has shrunk to one pixel",
        "take a larger batch, fewer training.logical_shards, larger images, or batch_norm: "
        "sync");
  return norm.forward(x);
}

}  // namespace

at::Tensor batch_norm(torch::nn::BatchNorm2dImpl& norm, const at::Tensor& x_NCHW) {
  return normalise(norm, x_NCHW);
}

at::Tensor batch_norm(torch::nn::BatchNorm1dImpl& norm, const at::Tensor& x_NC) {
  return normalise(norm, x_NC);
}

SynchronisedStatistics::SynchronisedStatistics(StatisticsExchange& exchange, bool moves_statistics)
    : exchange_(exchange),
      moves_statistics_(moves_statistics),
      outer_(std::exchange(current_scope, this)) {}

SynchronisedStatistics::~SynchronisedStatistics() { current_scope = outer_; }

bool SynchronisedStatistics::active() { return current_scope != nullptr; }

const SynchronisedStatistics* SynchronisedStatistics::current() { return current_scope; }

void freeze_batch_norm_parameters(torch::nn::Module& network) {
  for_each_norm(network, [](auto& layer) {
    if (layer.weight.defined()) layer.weight.set_requires_grad(false);
    if (layer.bias.defined()) layer.bias.set_requires_grad(false);
  });
}

void use_running_statistics(torch::nn::Module& network) {
  for_each_norm(network, [](auto& layer) { layer.eval(); });
}

GatheredStatistics::GatheredStatistics(torch::nn::Module& network)
    : network_(network), was_training_(network.is_training()) {
  network_.eval();
  for_each_norm(network_, [&](auto& layer) {
    momenta_.push_back(layer.options.momentum().value_or(-1));
    layer.options.momentum(std::nullopt);  // each pass counts alike
    layer.reset_running_stats();
    layer.train();
  });
}

GatheredStatistics::~GatheredStatistics() {
  size_t i = 0;
  for_each_norm(network_, [&](auto& layer) {
    const double momentum = momenta_[i++];
    layer.options.momentum(momentum < 0 ? std::nullopt : std::optional<double>(momentum));
  });
  network_.train(was_training_);
}

FrozenStatistics::FrozenStatistics(const torch::nn::Module& network, bool freeze) {
  if (!freeze) return;
  for_each_norm(network, [&](auto& layer) {
    if (!layer.is_training()) return;
    for (at::Tensor* statistic :
         {&layer.running_mean, &layer.running_var, &layer.num_batches_tracked})
      hidden_.push_back({statistic, std::exchange(*statistic, at::Tensor())});
  });
}

FrozenStatistics::~FrozenStatistics() {
  for (Hidden& hidden : hidden_) *hidden.place = std::move(hidden.value);
}

}  // namespace baleen
