#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <mutex>
#include <vector>

#include "experiments/stacking/stack_ranks.h"
#include "experiments/stacking/two_level.h"

namespace baleen {

// Shapes: M kept models, N samples of this rank, L labels, K folds, R rows of a piece, P with the
// padding of Columns.

/// Consecutive rows of one fold, in the order of StackTables.
struct RowPiece {
  int64_t index = 0;  ///< among pieces()
  int64_t fold = 0;
  int64_t part = 0;  ///< of the fold: halves, which threads work on side by side
  int64_t first = 0;
  int64_t count = 0;
};

/// A table [C, P] with the rows as columns, to be a piece's rows [R, C]. A view.
inline at::Tensor as_rows(const at::Tensor& table_CP, const RowPiece& piece) {
  return table_CP.narrow(1, 0, piece.count).t();
}

/// The input of a stack, checked, with its rows put in the order of their folds and read in pieces.
class StackTables {
 public:
  /// [collective over `ranks`]
  /// @throws Error kData for shapes that differ, folds without samples or on several ranks, targets
  /// that are neither 0 nor 1, models without a fold's predictions; kNumeric naming model and
  /// sample of a bad one.
  StackTables(const StackInput& input, const StackOptions& options, const StackRanks& ranks,
              std::function<void()> check_stop = {});

  const StackRanks& ranks() const { return ranks_; }
  /// Throws where somebody asked for the end. Any thread; one that meets another at it goes on.
  /// Nothing where there are other ranks, which would wait for the one that left.
  void check_stop() const;
  /// What `alpha_by: metric` compares penalties by.
  const PenaltyMetric& metric() const { return metric_; }

  const std::vector<int64_t>& kept() const { return kept_M_; }  ///< columns of the input's models
  int64_t num_models() const { return static_cast<int64_t>(kept_M_.size()); }
  int64_t num_rows() const { return static_cast<int64_t>(rows_N_.size()); }
  int64_t num_labels() const { return num_labels_; }
  int64_t num_folds() const { return static_cast<int64_t>(counts_K_.size()); }
  int64_t num_parts() const { return kPartsOfFold * num_folds(); }
  static int64_t fold_of_part(int64_t part) { return part / kPartsOfFold; }
  /// Rows of a fold, wherever they live.
  int64_t count_of(int64_t fold) const { return counts_K_[static_cast<size_t>(fold)]; }
  int64_t num_rows_of_all() const;
  /// Samples of each fold that have a label, on all ranks, [K, L].
  const at::Tensor& positives_KL() const { return positives_KL_; }
  const std::vector<RowPiece>& pieces() const { return pieces_; }

  /// What level 1 sees of model `m` (a place in kept()), [L, P] in fp64: probabilities or logits.
  at::Tensor inputs(int64_t m, const RowPiece& piece) const;
  /// The same of the predictions as they are.
  at::Tensor probabilities(int64_t m, const RowPiece& piece) const;
  /// [collective] Rows of every rank in the order of the folds, without some of them.
  /// @param parts_RC this rank's, fold by fold, as pieces_without() has them
  at::Tensor everywhere(const std::vector<at::Tensor>& parts_RC, int64_t num_columns,
                        const std::vector<int64_t>& without) const;
  /// [collective] All of the input of model `m` without some folds, and the targets that go with
  /// it: for the few fits that sums cannot solve.
  at::Tensor inputs_without(int64_t m, const std::vector<int64_t>& folds) const;
  at::Tensor targets_without(const std::vector<int64_t>& folds) const;
  std::vector<RowPiece> pieces_without(const std::vector<int64_t>& folds) const;

  /// [L, P]
  const at::Tensor& targets(const RowPiece& piece) const {
    return targets_P_[static_cast<size_t>(piece.index)];
  }
  /// Mean of a model's inputs(), of all rows.
  at::Tensor mean_input_L(int64_t m) const { return mean_inputs_ML_[m]; }
  /// Each label's mean probability: where first-level scores lie, for sums about it. Made without
  /// targets, so that the bits of a fit do not depend on those of rows that it leaves out.
  const at::Tensor& centre_L() const { return centre_L_; }
  /// Puts a piece's rows [R, C] where they belong in a table [N, C] in the input's order. Any
  /// thread.
  void put_rows(const at::Tensor& rows_RC, const RowPiece& piece, const at::Tensor& table_NC) const;

 private:
  static constexpr int64_t kPartsOfFold = 2;

  void divide_folds(const at::Tensor& counts_K);
  void find_means();

  StackRanks ranks_;
  std::function<void()> check_stop_;
  mutable std::mutex stop_mutex_;
  PenaltyMetric metric_;
  std::vector<int64_t> kept_M_, rows_N_;
  std::vector<int64_t> counts_K_, owners_K_;  // of the rows on all ranks
  at::Tensor positives_KL_;
  std::vector<RowPiece> pieces_;
  at::Tensor oof_MNL_;  // as it came, not copied
  int64_t num_labels_ = 0;
  std::vector<at::Tensor> targets_P_;  // of each piece
  at::Tensor mean_inputs_ML_, centre_L_;
  bool logits_ = false;
};

/// Probabilities, or their log-odds where the options say so.
at::Tensor level1_input(const at::Tensor& probabilities, const StackOptions& options);

}  // namespace baleen
