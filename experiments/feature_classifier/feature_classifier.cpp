#include "experiments/feature_classifier/feature_classifier.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/optim/adamw.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/base/error.h"
#include "core/base/seeds.h"

namespace baleen {
namespace {

/// Small galleries make few steps an epoch; they get more epochs.
constexpr int64_t kLeastSteps = 1000;

/// Dense, relu, dropout, dense; all draws come from one generator of its own.
class TwoLayers {
 public:
  TwoLayers(int64_t inputs, int64_t outputs, const FeatureClassifierOptions& options)
      : dropout_(options.dropout), generator_(at::detail::createCPUGenerator(options.seed)) {
    const auto layer = [&](int64_t to, int64_t from) {
      const double bound = std::sqrt(6.0 / static_cast<double>(from));  // He et al. 2015
      return at::empty({to, from}, at::kFloat).uniform_(-bound, bound, generator_);
    };
    parameters_ = {layer(options.hidden, inputs), at::zeros({options.hidden}),
                   layer(outputs, options.hidden), at::zeros({outputs})};
    for (at::Tensor& parameter : parameters_) parameter.requires_grad_(true);
  }

  const std::vector<at::Tensor>& parameters() const { return parameters_; }

  at::Tensor forward(const at::Tensor& x_BK, bool training) {
    at::Tensor hidden = at::linear(x_BK, parameters_[0], parameters_[1]).relu();
    if (training && dropout_ > 0) {
      const at::Tensor kept =
          at::empty_like(hidden).bernoulli_(1 - dropout_, generator_).div_(1 - dropout_);
      hidden = hidden * kept;
    }
    return at::linear(hidden, parameters_[2], parameters_[3]);
  }

 private:
  double dropout_;
  at::Generator generator_;
  std::vector<at::Tensor> parameters_;
};

}  // namespace

at::Tensor classify_features(const at::Tensor& x_ND, const std::vector<int64_t>& class_N,
                             int64_t num_classes, const at::Tensor& x_MD,
                             const FeatureClassifierOptions& options) {
  const Pca pca = fit_pca(x_ND, options.variance_share, options.whiten);
  const at::Tensor x_NK = pca.transform(x_ND).to(at::kFloat);
  const at::Tensor targets_N = at::tensor(class_N, at::kLong);
  TwoLayers network(x_NK.size(1), num_classes, options);
  torch::optim::AdamW optimizer(
      network.parameters(),
      torch::optim::AdamWOptions(options.learning_rate).weight_decay(options.weight_decay));
  std::vector<int64_t> order(class_N.size());
  const int64_t steps_per_epoch = (std::ssize(order) + options.batch - 1) / options.batch;
  const int64_t epochs =
      std::max(options.epochs, (kLeastSteps + steps_per_epoch - 1) / steps_per_epoch);
  for (int64_t epoch = 0; epoch < epochs; ++epoch) {
    std::iota(order.begin(), order.end(), 0);
    CounterRandom random(
        derive_seed(options.seed, Stream::kShuffle, {static_cast<uint64_t>(epoch)}));
    shuffle(order, random);
    const at::Tensor order_N = at::tensor(order, at::kLong);
    // The rate falls to 0 along half a cosine.
    const double rate =
        options.learning_rate * 0.5 *
        (1 + std::cos(M_PI * static_cast<double>(epoch) / static_cast<double>(epochs)));
    for (auto& group : optimizer.param_groups()) group.options().set_lr(rate);
    for (const at::Tensor& rows : order_N.split(options.batch)) {
      const at::Tensor loss = at::cross_entropy_loss(
          network.forward(x_NK.index_select(0, rows), true), targets_N.index_select(0, rows));
      optimizer.zero_grad();
      loss.backward();
      optimizer.step();
    }
  }
  const at::NoGradGuard no_grad;
  at::Tensor logits_MC = network.forward(pca.transform(x_MD).to(at::kFloat), false).to(at::kDouble);
  if (!at::isfinite(logits_MC).all().item<bool>()) {
    throw Error(ErrorKind::kNumeric, "the classifier of features has diverged",
                "lower its learning rate");
  }
  const at::Tensor absent_C = at::bincount(targets_N, {}, num_classes).eq(0);
  logits_MC.masked_fill_(absent_C.unsqueeze(0), -std::numeric_limits<double>::infinity());
  return at::softmax(logits_MC, 1);
}

}  // namespace baleen
