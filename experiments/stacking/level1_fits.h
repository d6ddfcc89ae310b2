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

  /// The models' inputs of a piece, what Level1Scores are made from.
  std::vector<at::Tensor> inputs_of(const RowPiece& piece) const;

 private:
  friend class Level1Scores;
  void fit_models();

  const StackTables& tables_;
  const StackOptions& options_;
  std::map<LeftOut, size_t> index_;
  std::vector<std::vector<RidgeModel>> models_MS_;
};

/// What the second level sees of some labels when it leaves a fold out: each row's scores by fits
/// that never saw its fold, nor the one that is left out where the options say `nested`.
class Level1Scores {
 public:
  /// @param without the fold; -1: none
  /// @param labels [S], ascending
  Level1Scores(const Level1Fits& fits, int64_t without, std::vector<int64_t> labels);

  const std::vector<int64_t>& labels() const { return labels_S_; }
  /// A piece's scores less the tables' centre_L, [S, M, P].
  /// @param inputs_M the piece's, of each model
  /// @param memory what an earlier call gave, to be written over; or nothing
  at::Tensor of(const std::vector<at::Tensor>& inputs_M, const RowPiece& piece,
                at::Tensor memory = {}) const;
  at::Tensor of(const RowPiece& piece) const { return of(fits_.inputs_of(piece), piece); }

 private:
  struct Function {
    ColumnWeights weights;  ///< none without a first level
    at::Tensor offset_S;
  };

  const Level1Fits& fits_;
  std::vector<int64_t> labels_S_;
  std::vector<std::vector<Function>> functions_KM_;
};

}  // namespace baleen
