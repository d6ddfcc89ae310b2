#pragma once

#include <memory>

#include "core/nn/decorated_backbone.h"

namespace baleen {

/// Mirrored images are other classes: the inner network has 2C outputs, class c of images as they
/// are and class C + c of their mirror images, so that it learns to tell a left flank from a right
/// one.
///
/// In training its 2C logits are passed on. In evaluation the result is [N, C]: the log of the sum
/// of two softmaxes, that of the first C logits for the image, which is known not to be mirrored,
/// and that of the last C for its mirror image. A softmax over them gives the mean of the two.
/// logits_of() a stage's map are the inner network's 2C: what is explained is one view.
class FlipClasses final : public DecoratedBackbone {
 public:
  /// @throws Error kInternal when the number of outputs is odd.
  explicit FlipClasses(std::shared_ptr<Backbone> inner, int64_t num_outputs);
  at::Tensor forward(const at::Tensor& images_NCHW) override;

 private:
  int64_t num_classes_;
};

}  // namespace baleen
