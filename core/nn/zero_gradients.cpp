#include "core/nn/zero_gradients.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

namespace baleen {
namespace {

struct ZeroGradients : torch::autograd::Function<ZeroGradients> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            at::TensorList parameters) {
    context->save_for_backward(parameters.vec());
    return x;
  }
  static std::vector<at::Tensor> backward(torch::autograd::AutogradContext* context,
                                          std::vector<at::Tensor> gradients) {
    std::vector<at::Tensor> inputs{gradients.at(0)};
    for (const at::Tensor& parameter : context->get_saved_variables())
      inputs.push_back(at::zeros_like(parameter));
    return inputs;
  }
};

}  // namespace

at::Tensor with_zero_gradients(const at::Tensor& x, const std::vector<at::Tensor>& parameters) {
  return ZeroGradients::apply(x, at::TensorList(parameters));
}

}  // namespace baleen
