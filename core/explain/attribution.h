#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

#include "core/nn/backbone.h"

namespace baleen {

// Shapes: N images, P outputs that are explained, [N, P, H, W] maps of the images' size.
//
// Why a network says what it says of an image: maps of the pixels or places that move an output's
// logit, before any softmax or sigmoid. The network is evaluated in evaluation mode, in which
// images of a batch do not see each other, and is back in its mode afterwards; its parameters and
// their gradients are left alone. Maps are >= 0 and not scaled: see scaled_maps().

/// |∂logit/∂pixel|, the largest over the channels (Simonyan et al. 2013, arXiv:1312.6034).
at::Tensor saliency(Backbone& network, const at::Tensor& images_NCHW,
                    std::span<const int64_t> outputs);

struct SmoothGradOptions {
  int64_t samples = 25;
  double noise = 0.15;  ///< standard deviation as a share of each image's range of values
  uint64_t seed = 0;
};
/// saliency() of the mean gradient over noisy copies of the image (Smilkov et al. 2017,
/// arXiv:1706.03825). The same arguments give the same noise.
at::Tensor smooth_grad(Backbone& network, const at::Tensor& images_NCHW,
                       std::span<const int64_t> outputs, const SmoothGradOptions& options = {});
/// The noise of one of smooth_grad()'s samples, of standard deviation 1.
at::Tensor smooth_grad_noise(const at::Tensor& images_NCHW, int64_t sample, uint64_t seed);

/// saliency() with gradients that pass a ReLU only where they are positive (Springenberg et al.
/// 2014, arXiv:1412.6806). The forward pass is the usual one: the ReLUs are found in the graph that
/// it leaves. Other activations (PReLU, SELU) pass gradients as they always do.
at::Tensor guided_backpropagation(Backbone& network, const at::Tensor& images_NCHW,
                                  std::span<const int64_t> outputs);

/// ReLU(Σ_k α_k A_k) for maps A, with α_k the mean gradient of the logit over map k
/// (Selvaraju et al. 2016, arXiv:1610.02391), enlarged to the images' size bilinearly.
/// The maps are the last that Backbone::features() gives; of networks whose head sees earlier ones,
/// too, the gradient is the one through the last.
/// @throws Error kConfiguration for a network whose maps do not lead to its logits
/// (core/nn/map_head.h).
at::Tensor grad_cam(Backbone& network, const at::Tensor& images_NCHW,
                    std::span<const int64_t> outputs);

/// Each map divided by its largest value; a map of zeros stays.
at::Tensor scaled_maps(const at::Tensor& maps_NPHW);

}  // namespace baleen
