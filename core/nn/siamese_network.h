#pragma once

#include <memory>

#include "core/nn/decorated_backbone.h"
#include "core/nn/symmetric_head.h"

namespace baleen {

/// Name under which a SiameseNetwork holds its head.
inline constexpr const char* kPairHeadName = "pair_head";

/// A network whose outputs are what its own head would see of each image, [N, D], and beside it, in
/// that head's place, a SymmetricHead that compares two of them: one branch, used for both images
/// of a pair. The head is no part of forward(): whoever has the features of many images compares
/// any two.
class SiameseNetwork final : public DecoratedBackbone {
 public:
  /// @param branch its own head is left out
  /// @throws Error kConfiguration when that head is no linear layer.
  explicit SiameseNetwork(std::shared_ptr<Backbone> branch);

  at::Tensor forward(const at::Tensor& images_NCHW) override { return embedding(images_NCHW); }
  TrainingLogits forward_training(const at::Tensor& images_NCHW) override {
    return {embedding(images_NCHW), {}, 0.0};
  }
  std::string head_name() const override { return kPairHeadName; }
  const std::shared_ptr<SymmetricHead>& head() const { return head_; }

 private:
  SiameseNetwork(const std::shared_ptr<Backbone>& branch, std::shared_ptr<SymmetricHead> head);

  std::shared_ptr<SymmetricHead> head_;
};

}  // namespace baleen
