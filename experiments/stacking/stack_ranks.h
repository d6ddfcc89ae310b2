#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "experiments/collective.h"

namespace baleen {

/// The ranks among which the rows of a stack are divided, each fold on one of them: where its
/// network was trained. By default one process that holds all.
///
/// Every rank gets the same bits, which are those of one process: sums over a fold's rows are made
/// where they live, and the rest adds zeros.
class StackRanks {
 public:
  StackRanks() = default;
  explicit StackRanks(Communicator& group) : group_(group.size() > 1 ? &group : nullptr) {}

  bool alone() const { return group_ == nullptr; }
  int rank() const { return group_ ? group_->rank() : 0; }
  int size() const { return group_ ? group_->size() : 1; }

  /// [collective] See agreed().
  template <class Action>
  void agree(const Action& action) const {
    if (group_) {
      agreed(*group_, action);
    } else {
      action();
    }
  }
  /// [collective] Replaces each tensor by its sum over the ranks, added in their order. Contiguous,
  /// fp64, of the same shapes everywhere.
  void add_up(const std::vector<at::Tensor>& tensors) const;
  /// [collective] Everybody's numbers, fp64, flat, by rank.
  std::vector<at::Tensor> gather(const at::Tensor& numbers) const;

 private:
  Communicator* group_ = nullptr;
};

}  // namespace baleen
