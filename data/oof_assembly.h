#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "data/folds.h"
#include "data/oof.h"
#include "data/prediction_table.h"

namespace baleen {

/// Puts the held-out predictions of every (model, fold) together, and proves that none of them
/// leaked.
///
/// For each model, every sample must come exactly once, from its own fold, predicted by a model
/// whose training samples hold neither the sample, nor a copy of it, nor a member of its group.
/// Copies themselves are no part of the result. Any breach is an Error
/// kData naming model, fold and sample.
class OofAssembly {
 public:
  /// @param subject ids, groups and label names; folds.folds are in its order
  OofAssembly(const FoldSubject& subject, const FoldAssignment& folds,
              std::vector<std::string> models, std::vector<std::string> test_ids = {});

  /// @param held_out predictions of the samples of `fold`
  /// @param training_ids what that model trained on
  void add(const std::string& model, int64_t fold, const PredictionTable& held_out,
           const std::vector<std::string>& training_ids);

  /// Predictions of the test set by the model of `fold`.
  void add_test(const std::string& model, int64_t fold, const PredictionTable& test);

  /// ids, labels, models, folds, oof_MNK, and the test part with means over folds; targets are left
  /// to the caller.
  /// @throws Error kData naming the (model, fold) pairs or samples that are missing.
  OofData finish() const;

 private:
  int64_t model_index(const std::string& model) const;
  std::string label(int64_t model, int64_t fold) const;

  FoldSubject subject_;  ///< originals only, and so are the folds
  FoldAssignment folds_;
  std::vector<std::string> models_;
  std::vector<std::string> test_ids_;
  std::unordered_map<std::string, int64_t> position_of_;      ///< of originals
  std::unordered_map<std::string, std::string> original_of_;  ///< of copies
  int64_t num_columns_ = 0;
  at::Tensor oof_MNK_;  ///< filled as tables come
  std::vector<uint32_t> counts_MN_;
  std::vector<bool> have_MF_;
  std::vector<at::Tensor> test_MF_;  ///< each [T, K] or undefined
};

}  // namespace baleen
