// A network, a loss and an augmentation that Baleen does not have.
#include <ATen/ATen.h>
#include <torch/nn/modules/linear.h>

#include "core/base/error.h"
#include "core/losses/terms.h"
#include "core/nn/conv_norm.h"
#include "experiments/plugin.h"

using namespace baleen;

namespace {

/// Three convolutions, each of which halves the image, and a linear layer over the means.
class TinyNet final : public Backbone {
 public:
  explicit TinyNet(const BackboneOptions& options) : dropout_(options.dropout) {
    int64_t channels = options.in_channels;
    for (int64_t width : stage_channels()) {
      const std::string number = std::to_string(convs_.size() + 1);
      const auto plan = torch::nn::Conv2dOptions(channels, width, 3).stride(2).padding(1);
      convs_.push_back(register_module("conv" + number, torch::nn::Conv2d(plan)));
      norms_.push_back(register_module("bn" + number, torch::nn::BatchNorm2d(width)));
      channels = width;
    }
    fc_ = register_module("fc", torch::nn::Linear(channels, options.num_outputs));
  }
  std::vector<at::Tensor> features(const at::Tensor& images_NCHW) override {
    std::vector<at::Tensor> maps{images_NCHW};
    for (size_t i = 0; i < convs_.size(); ++i)
      maps.push_back(conv_norm_relu(*convs_[i], *norms_[i], maps.back()));
    return {maps.begin() + 1, maps.end()};
  }
  at::Tensor forward(const at::Tensor& images_NCHW) override {
    const at::Tensor means_NC = features(images_NCHW).back().mean({2, 3});
    return fc_->forward(at::dropout(means_NC, dropout_, is_training()));
  }
  std::vector<int64_t> stage_channels() const override { return {16, 32, 64}; }
  std::string stem_name() const override { return "conv1"; }
  std::string head_name() const override { return "fc"; }

 private:
  double dropout_;
  std::vector<torch::nn::Conv2d> convs_;
  std::vector<torch::nn::BatchNorm2d> norms_;
  torch::nn::Linear fc_{nullptr};
};

/// -(1 - p)^gamma log p of the right class: samples that are easy already weigh less (Lin et al.
/// 2017).
class FocalLoss final : public Loss {
 public:
  explicit FocalLoss(double gamma) : gamma_(gamma) {
    if (!(gamma >= 1))
      throw Error(ErrorKind::kConfiguration, "gamma is below 1", "2 is what the paper takes");
  }
  at::Tensor sum(const at::Tensor& logits_NK, const at::Tensor& targets_N) const override {
    const at::Tensor log_p_NK = at::log_softmax(widened(logits_NK), 1);
    const at::Tensor log_p_N1 = log_p_NK.gather(1, targets_N.unsqueeze(1));
    return -(at::pow(-at::expm1(log_p_N1), gamma_) * log_p_N1).sum();
  }
  const BatchTerm* batch_term() const override { return nullptr; }
  at::Tensor probabilities(const at::Tensor& logits_NK) const override {
    return at::softmax(widened(logits_NK), 1);
  }

 private:
  double gamma_;
};

/// Greys out a square at a random place (DeVries and Taylor 2017).
Augmentation cutout(const Parameters& parameters) {
  const double part = parameters.at("part");
  if (!(part > 0 && part < 1))
    throw Error(ErrorKind::kConfiguration, "cutout: part is not between 0 and 1");
  return [part](const PixelBlock& image, CounterRandom& random) {
    const auto side = static_cast<int64_t>(part * static_cast<double>(image.height));
    const auto room = static_cast<uint64_t>(image.height - side + 1);
    const auto top = static_cast<int64_t>(random.below(room));
    const auto left = static_cast<int64_t>(random.below(room));
    for (int64_t y = top; y < top + side; ++y)
      for (int64_t x = left; x < left + side; ++x)
        for (int64_t c = 0; c < image.channels; ++c) image.at(y, x, c) = 128;
  };
}

}  // namespace

void add_extension(Extensions& extensions) {
  extensions.backbones.add({.name = "tiny_net",
                            .description = "three strided convolutions",
                            .source = "docs/extending.md",
                            .min_size_px = 8,
                            .usual_size_px = 28},
                           [](const BackboneOptions& o) { return std::make_shared<TinyNet>(o); });
  extensions.losses.add({.name = "focal",
                         .description = "cross-entropy that looks away from easy samples",
                         .targets = LossTargets::kClasses,
                         .parameters = {{"gamma", 2.0}}},
                        [](const LossOptions& options, int64_t) {
                          return std::make_unique<FocalLoss>(options.parameters.at("gamma"));
                        });
  extensions.augmentations.add(
      {.name = "cutout", .description = "greys out a square", .parameters = {{"part", 0.25}}},
      cutout);
}

BALEEN_PLUGIN(add_extension)
