#pragma once

#include <map>
#include <vector>

#include "experiments/stacking/stack_tables.h"

namespace baleen {

// Shapes: M models, L labels, R rows of a piece.

/// Folds that a fit leaves out: none, one, or two. Of two the first is the one that is left out
/// throughout, and chose the penalties; the second is left out so that its rows can be scored.
using LeftOut = std::vector<int64_t>;

/// The first level of a stack: for each model the ridges of all labels on all labels, without every
/// set of folds that is asked for.
class Level1Fits {
 public:
  /// @param all_rows adds the fits that leave nothing out; those without one fold are always made,
  /// those without two where the options say `nested`
  Level1Fits(const StackTables& tables, const StackOptions& options, bool all_rows);

  const RidgeModel& model(int64_t m, const LeftOut& folds) const;
  std::vector<RidgeModel> models(const LeftOut& folds) const;

  /// What the second level sees of a piece when it leaves `without` out (-1: nothing), [L, R, M]:
  /// each row by fits that never saw its fold, nor `without` where the options say `nested`.
  at::Tensor scores(const RowPiece& piece, int64_t without) const;

 private:
  void fit_model(int64_t m);

  const StackTables& tables_;
  const StackOptions& options_;
  std::map<LeftOut, size_t> index_;
  std::vector<std::vector<RidgeModel>> models_MS_;
};

/// The second level for each label, fitted on the rows outside a fold (-1: on all).
std::vector<RidgeModel> fit_level2(const StackTables& tables, const Level1Fits& level1,
                                   const StackOptions& options, int64_t without);

}  // namespace baleen
