#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

namespace baleen {

/// Fills a tensor in place, without autograd, from N(0, std²) cut off at ±bound.
void truncated_normal(at::Tensor weight, double std, double bound);

/// Fills a weight in place with Glorot and Bengio's uniform distribution ("Understanding the
/// difficulty of training deep feedforward neural networks", 2010): U(±sqrt(6 / (fan_in +
/// fan_out))).
/// @param weight [out, in, ...]: of a linear layer or a convolution
void glorot_uniform(at::Tensor weight);

/// The same for every weight of a network, in its order; biases become zero.
void glorot_uniform(torch::nn::Module& network);

/// fan_in of a weight [out, in, ...]: terms in each output's sum.
double fan_in(const at::Tensor& weight);
/// fan_out: outputs that each input of one group has a part in.
double fan_out(const at::Tensor& weight);

/// He et al.'s normal distribution for the convolutions of a ReLU network, in its order: N(0, 2 /
/// fan(weight)) ("Delving Deep into Rectifiers", 2015). fan_in keeps the variance of activations,
/// fan_out that of gradients.
void he_normal(torch::nn::Module& network, double (*fan)(const at::Tensor& weight));

}  // namespace baleen
