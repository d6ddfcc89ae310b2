#pragma once

namespace baleen {

/// While alive, networks of this thread compute what they compute by LibTorch's own operators, one
/// after the other in the published order: no kernels of Baleen's own, nothing folded, commuted or
/// merged. In the same memory format and with the same number of threads their numbers are then
/// those of the published implementation to the bit, forward and backward. For comparing and for
/// finding faults; training is slower. Only the forward pass needs this scope, and the backward
/// pass where it computes pieces again (checkpointing.h).
class PlainPasses {
 public:
  PlainPasses();
  ~PlainPasses();
  PlainPasses(const PlainPasses&) = delete;
  PlainPasses& operator=(const PlainPasses&) = delete;

  /// Whether this thread is inside such a scope.
  static bool active();
};

}  // namespace baleen
