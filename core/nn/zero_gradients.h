#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace baleen {

/// `x` itself, but its backward pass also gives `parameters` gradients of zero.
///
/// For parameters that a forward pass leaves out: data-parallel reduction waits for the gradient of
/// every parameter and optimizers expect one, and a zero is what the parameter contributed.
/// Multiplying them by zero and adding the product would do the same until one is not finite.
at::Tensor with_zero_gradients(const at::Tensor& x, const std::vector<at::Tensor>& parameters);

}  // namespace baleen
