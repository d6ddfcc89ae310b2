#pragma once

#include <functional>
#include <vector>

#include "experiments/stacking/ridge_sums.h"
#include "experiments/stacking/stack_tables.h"

namespace baleen {

// What the fits of both levels have in common: sums by fold, from which folds are left out.

/// Folds that a fit leaves out: none, one, or two. Of two the first is the one that is left out
/// throughout, and chose the penalties; the second is left out so that its rows can be scored.
using LeftOut = std::vector<int64_t>;

bool holds(const LeftOut& folds, int64_t fold);
/// The set for scoring the rows of a fold where `without` is left out throughout (-1: nothing is).
LeftOut both(int64_t fold, int64_t without);
std::vector<int64_t> all_labels(const StackTables& tables);
std::vector<RowPiece> pieces_of(const StackTables& tables, int64_t fold);
std::vector<RowPiece> pieces_of_part(const StackTables& tables, int64_t part);

/// [collective] The sums of each fold, from those of its parts, from where their rows live.
std::vector<RidgeSums> sums_of_folds(const std::vector<RidgeSums>& sums_S,
                                     const StackTables& tables);
RidgeSums sums_without(const std::vector<RidgeSums>& sums_K, const LeftOut& folds);

/// A fit for the penalties; for those that the sums cannot solve the rows are fetched.
/// @param fetch inputs [N, D] and targets [N, K]; collective
RidgeModel solve(const RidgeSolver& solver, const std::vector<double>& alphas_K,
                 const std::function<std::pair<at::Tensor, at::Tensor>()>& fetch);

/// Whether penalties are chosen by fits that leave further folds out.
bool leaves_folds_out(const StackOptions& options);

/// [collective] The penalties of least squared error on the folds that a fit has, each left out in
/// turn: one for each target, or one for all. The largest of equals.
/// @param sums_K of all folds, about the point shift_D, shift_T
/// @param fits_without the models without a fold and what is left out anyway, one for each penalty
std::vector<double> best_by_folds(
    const StackTables& tables, const StackOptions& options, const std::vector<RidgeSums>& sums_K,
    const at::Tensor& shift_D, const at::Tensor& shift_T, const LeftOut& without, bool per_target,
    const std::function<std::vector<RidgeModel>(int64_t fold, const std::vector<double>& alphas)>&
        fits_without);

/// [collective] The penalty whose scores on the held-out folds are best; the largest of equals.
/// @param fit_and_score gives the scores of a fold's rows, [R, L] by piece, by a fit without it for
/// one penalty
double best_by_metric(
    const StackTables& tables, const StackOptions& options, const LeftOut& without,
    const std::function<std::vector<at::Tensor>(int64_t fold, double alpha)>& fit_and_score);

}  // namespace baleen
