#pragma once

#include <map>
#include <vector>

#include "experiments/stacking/columns.h"
#include "experiments/stacking/level_sums.h"

namespace baleen {

// Shapes: M models, L labels, R rows of a piece, P with the padding of Columns.

/// The first level of a stack: for each model the ridges of all labels on all labels, without every
/// set of folds that is asked for.
class Level1Fits {
 public:
  /// @param all_rows adds the fits that leave nothing out; those without one fold are always made,
  /// those without two where the options say `nested`
  Level1Fits(const StackTables& tables, const StackOptions& options, bool all_rows);

  const RidgeModel& model(int64_t m, const LeftOut& folds) const;
  std::vector<RidgeModel> models(const LeftOut& folds) const;

  /// What the second level sees of a piece when it leaves `without` out (-1: nothing), [L, M, P],
  /// less the tables' centre_L: each row by fits that never saw its fold, nor `without` where the
  /// options say `nested`.
  /// @param inputs_M the piece's, of each model
  at::Tensor scores(const std::vector<at::Tensor>& inputs_M, const RowPiece& piece,
                    int64_t without) const;
  at::Tensor scores(const RowPiece& piece, int64_t without) const;
  std::vector<at::Tensor> inputs_of(const RowPiece& piece) const;

 private:
  void fit_models();

  const StackTables& tables_;
  const StackOptions& options_;
  std::map<LeftOut, size_t> index_;
  std::vector<std::vector<RidgeModel>> models_MS_;
  std::vector<std::vector<ColumnWeights>> weights_MS_;  // the same, laid out; none without a level
};

}  // namespace baleen
