#pragma once

#include <memory>
#include <vector>

#include "core/nn/symmetric_head.h"
#include "core/training/batch_objective.h"

namespace baleen {

/// The loss of a siamese network: rows 2i and 2i + 1 of a global batch are a pair, and the head's
/// logit for it should say whether both have the same target. Binary cross-entropy, a pair of one
/// individual times `positive_weight`, over the number of pairs; in float64.
class PairObjective final : public BatchObjective {
 public:
  /// @param head whose parameters are trained, too
  PairObjective(std::shared_ptr<SymmetricHead> head, double positive_weight);

  std::vector<at::Tensor> parameters() const override { return head_->parameters(); }
  /// @throws Error kInternal for an odd number of rows.
  Result evaluate(const at::Tensor& outputs_BD, const at::Tensor& targets_B, int64_t epoch,
                  int64_t step) override;
  void step_done(bool /*applied*/) override {}

 private:
  std::shared_ptr<SymmetricHead> head_;
  double positive_weight_;
};

}  // namespace baleen
