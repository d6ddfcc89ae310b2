#pragma once

#include <ATen/core/Tensor.h>

namespace baleen {

/// Fills a tensor in place, without autograd, from N(0, std²) cut off at ±bound.
void truncated_normal(at::Tensor weight, double std, double bound);

/// Fills a weight in place with Glorot and Bengio's uniform distribution ("Understanding the
/// difficulty of training deep feedforward neural networks", 2010): U(±sqrt(6 / (fan_in +
/// fan_out))).
/// @param weight [out, in, ...]: of a linear layer or a convolution
void glorot_uniform(at::Tensor weight);

/// fan_in of a weight [out, in, ...]: terms in each output's sum.
double fan_in(const at::Tensor& weight);

}  // namespace baleen
