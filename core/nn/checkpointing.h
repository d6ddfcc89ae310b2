#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <functional>
#include <memory>
#include <vector>

namespace baleen {

/// A piece of a layer's forward pass: tensors in, one tensor out. The same inputs must give the
/// same output, so it has no dropout, and the output is no view of an input.
using CheckpointedFunction = std::function<at::Tensor(const std::vector<at::Tensor>& inputs)>;

/// function(inputs), whose intermediate results are dropped and computed again in the backward pass
/// (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost"): a second forward pass of
/// this piece is the price of the memory.
///
/// Gradients have the bits of the plain call; running statistics move in the first pass only; the
/// second pass has the autocast state of the first, and asks the exchange of its
/// SynchronisedStatistics scope once more. Where no backward pass can follow, or the layer
/// is in evaluation mode, this is the plain call. A second derivative is refused.
/// @param layer what holds the function's norms; kept alive until the backward pass
/// @param parameters every parameter the function uses: these get gradients
at::Tensor checkpointed(const std::shared_ptr<torch::nn::Module>& layer,
                        const std::vector<at::Tensor>& parameters,
                        const std::vector<at::Tensor>& inputs,
                        const CheckpointedFunction& function);

}  // namespace baleen
