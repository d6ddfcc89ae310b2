#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace baleen {

/// A loss of all outputs of a global batch at once, for instance of distances between them.
///
/// The trainer gathers the outputs of all logical shards in their order, every rank evaluates the
/// same numbers, and each takes back the gradients of its own rows: the whole batch's gradient,
/// the same bits for any number of ranks. Used from one thread.
class BatchObjective {
 public:
  struct Result {
    double loss = 0;  ///< of the global batch; not finite where an output is not
    at::Tensor gradient_BD;
    std::vector<at::Tensor> parameter_gradients;  ///< one for each of parameters()
  };

  virtual ~BatchObjective() = default;
  /// Trainable tensors of the loss itself, which the network holds, too: β, centres, weights.
  virtual std::vector<at::Tensor> parameters() const = 0;
  /// Loss and gradients at these outputs.
  /// @param outputs_BD float64, on the network's device, without graph
  /// @param targets_B  int64 classes, on the CPU
  virtual Result evaluate(const at::Tensor& outputs_BD, const at::Tensor& targets_B, int64_t epoch,
                          int64_t step) = 0;
  /// Right after the optimizer changed the parameters, before averages of them are taken.
  virtual void updated() {}
  /// At the end of the step: `applied` says whether the step changed anything. For what the
  /// objective remembers of the batch that it evaluated last.
  virtual void step_done(bool applied) = 0;
};

}  // namespace baleen
