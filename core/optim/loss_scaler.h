#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "core/config/field.h"

namespace baleen {

/// Dynamic loss scaling for float16; the defaults are torch.amp.GradScaler's.
struct LossScalerOptions {
  double initial_scale = 65536.0;
  double growth_factor = 2.0;
  double backoff_factor = 0.5;
  int64_t growth_interval = 2000;
};

struct LossScalerState {
  double scale = 65536.0;
  int64_t good_steps = 0;  ///< in a row, since the scale changed
};

template <class Visitor>
void visit_fields(Visitor& v, LossScalerState& s) {
  v.field("scale", s.scale, "factor on the loss");
  v.field("good_steps", s.good_steps, "steps without overflow since the scale changed");
}

/// Keeps float16 gradients inside their range: the loss is multiplied by a scale before backward,
/// the gradients are divided by it, and a step whose gradients overflowed is skipped with a smaller
/// scale.
class LossScaler {
 public:
  /// @throws Error kConfiguration for factors on the wrong side of 1.
  explicit LossScaler(LossScalerOptions options);

  /// The loss to backpropagate: `loss` times the current scale.
  at::Tensor scale(const at::Tensor& loss) const { return loss * state_.scale; }

  /// Divides the gradients of `parameters` by the scale, in place; undefined ones are passed over.
  /// @returns whether all of them are finite (waits for the device); if not, the step must be
  /// skipped, on all ranks alike
  bool unscale(const std::vector<at::Tensor>& parameters) const;

  /// Ends a step: after an overflow the scale shrinks, after growth_interval finite steps in a row
  /// it grows.
  void update(bool finite);

  const LossScalerState& state() const { return state_; }
  void load(const LossScalerState& state) { state_ = state; }

 private:
  LossScalerOptions options_;
  LossScalerState state_;
};

}  // namespace baleen
