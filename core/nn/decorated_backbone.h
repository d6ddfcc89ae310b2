#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/nn/backbone.h"
#include "core/nn/map_head.h"

namespace baleen {

/// A network around another one whose modules it takes over under their own names, so that weights
/// of the inner network load by name and optimizers see one flat network. Calls go to the inner
/// network unless a subclass says otherwise.
class DecoratedBackbone : public Backbone, public MapHead {
 public:
  std::vector<at::Tensor> features(const at::Tensor& images_NCHW) override {
    return inner_->features(images_NCHW);
  }
  at::Tensor embedding(const at::Tensor& images_NCHW) override {
    return inner_->embedding(images_NCHW);
  }
  at::Tensor forward(const at::Tensor& images_NCHW) override {
    return inner_->forward(images_NCHW);
  }
  at::Tensor logits_of(const std::vector<at::Tensor>& maps) override {
    return logits_of_maps(*inner_, maps);
  }
  TrainingLogits forward_training(const at::Tensor& images_NCHW) override {
    return inner_->forward_training(images_NCHW);
  }
  std::vector<int64_t> stage_channels() const override { return inner_->stage_channels(); }
  std::string stem_name() const override { return inner_->stem_name(); }
  std::string head_name() const override { return inner_->head_name(); }
  std::vector<std::string> hidden_names() const override { return inner_->hidden_names(); }
  /// The inner network is no child, but has a mode of its own.
  void train(bool on = true) override;

 protected:
  /// @param leave_out names of modules of the inner network that are not taken over
  explicit DecoratedBackbone(std::shared_ptr<Backbone> inner,
                             const std::vector<std::string>& leave_out = {});
  Backbone& inner() { return *inner_; }

 private:
  std::shared_ptr<Backbone> inner_;
};

}  // namespace baleen
