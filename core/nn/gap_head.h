#pragma once

#include <torch/nn/modules/linear.h>

#include <memory>
#include <string>
#include <vector>

#include "core/nn/decorated_backbone.h"

namespace baleen {

/// A network with the head of GapNet-PL (ICLR 2019 submission ryl5khRcKm): the mean of every
/// stage's map, concatenated, and one linear layer `gap_fc` in place of the published head and of
/// hidden layers before it, which are not there. Small and coarse structures thus reach the output
/// by short ways. `dropout` acts before `gap_fc`, beside where the network itself has it; an
/// auxiliary classifier has no place here.
class GapHeadBackbone final : public DecoratedBackbone {
 public:
  GapHeadBackbone(std::shared_ptr<Backbone> inner, int64_t num_outputs, double dropout);
  /// The means of all stages' maps, [N, C_1 + … + C_M].
  at::Tensor embedding(const at::Tensor& images_NCHW) override;
  at::Tensor forward(const at::Tensor& images_NCHW) override;
  at::Tensor logits_of(const std::vector<at::Tensor>& maps) override;
  TrainingLogits forward_training(const at::Tensor& images_NCHW) override {
    return {forward(images_NCHW), {}, 0.0};
  }
  std::string head_name() const override { return "gap_fc"; }
  std::vector<std::string> hidden_names() const override { return {}; }

 private:
  torch::nn::Linear gap_fc_{nullptr};
  double dropout_;
};

}  // namespace baleen
