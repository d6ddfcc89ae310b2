#include "experiments/stacking/level_sums.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <numeric>

namespace baleen {
namespace {

std::vector<double> descending(std::vector<double> alphas) {
  std::sort(alphas.rbegin(), alphas.rend());
  return alphas;
}

}  // namespace

bool holds(const LeftOut& folds, int64_t fold) {
  return std::find(folds.begin(), folds.end(), fold) != folds.end();
}

LeftOut both(int64_t fold, int64_t without) {
  if (without < 0 || fold == without) return {fold};
  return {without, fold};
}

std::vector<RidgeSums> sums_of_folds(const std::vector<RidgeSums>& sums_S,
                                     const StackTables& tables) {
  std::vector<RidgeSums> sums_K;
  for (int64_t k = 0; k < tables.num_folds(); ++k)
    sums_K.emplace_back(sums_S[0].num_inputs(), sums_S[0].num_targets());
  for (int64_t s = 0; s < tables.num_parts(); ++s) {
    sums_K[static_cast<size_t>(StackTables::fold_of_part(s))].merge(sums_S[static_cast<size_t>(s)]);
  }
  std::vector<at::Tensor> tensors;
  for (size_t k = 0; k < sums_K.size(); ++k) {
    sums_K[k].num_rows = tables.count_of(static_cast<int64_t>(k));
    tensors.push_back(sums_K[k].values);
  }
  tables.ranks().add_up(tensors);
  return sums_K;
}

RidgeSums sums_without(const std::vector<RidgeSums>& sums_K, const LeftOut& folds) {
  RidgeSums all(sums_K[0].num_inputs(), sums_K[0].num_targets());
  for (size_t k = 0; k < sums_K.size(); ++k) {
    if (!holds(folds, static_cast<int64_t>(k))) all.merge(sums_K[k]);
  }
  return all;
}

RidgeModel solve(const RidgeSolver& solver, const std::vector<double>& alphas_K,
                 const std::function<std::pair<at::Tensor, at::Tensor>()>& fetch) {
  if (auto model = solver.fit(alphas_K)) return *model;
  const auto [x_ND, y_NK] = fetch();
  return RidgeProblem(x_ND, y_NK).fit(alphas_K);
}

bool leaves_folds_out(const StackOptions& options) {
  return options.alpha_by != "leave_one_out" && options.alphas.size() > 1;
}

std::vector<double> best_by_folds(
    const StackTables& tables, const StackOptions& options, const std::vector<RidgeSums>& sums_K,
    const at::Tensor& shift_D, const at::Tensor& shift_T, const LeftOut& without, bool per_target,
    const std::function<std::vector<RidgeModel>(int64_t fold, const std::vector<double>& alphas)>&
        fits_without) {
  constexpr double kEqual = 1e-12;  // of the squared targets: what rounding leaves
  const std::vector<double> alphas = descending(options.alphas);
  const int64_t num_targets = shift_T.size(0);
  at::Tensor errors_AT = at::zeros({std::ssize(alphas), num_targets}, at::kDouble);
  at::Tensor squares_T = at::zeros_like(shift_T);
  for (int64_t fold = 0; fold < tables.num_folds(); ++fold) {
    if (holds(without, fold)) continue;
    tables.check_stop();
    const RidgeSums& rows = sums_K[static_cast<size_t>(fold)];
    const std::vector<RidgeModel> models = fits_without(fold, alphas);
    for (size_t a = 0; a < alphas.size(); ++a)
      errors_AT[static_cast<int64_t>(a)] += squared_errors_K(rows, shift_D, shift_T, models[a]);
    squares_T += rows.squares_K();
  }
  if (!per_target) {
    errors_AT = errors_AT.sum(1, /*keepdim=*/true).expand({-1, num_targets});
    squares_T = squares_T.sum().expand({num_targets});
  }
  std::vector<double> chosen(static_cast<size_t>(num_targets));
  std::vector<double> least(chosen.size(), std::numeric_limits<double>::infinity());
  for (size_t a = 0; a < alphas.size(); ++a) {
    for (size_t t = 0; t < chosen.size(); ++t) {
      const auto target = static_cast<int64_t>(t);
      const double error = errors_AT[static_cast<int64_t>(a)][target].item<double>();
      if (error >= least[t] - kEqual * squares_T[target].item<double>()) continue;
      least[t] = error;
      chosen[t] = alphas[a];
    }
  }
  return chosen;
}

double best_by_metric(
    const StackTables& tables, const StackOptions& options, const LeftOut& without,
    const std::function<std::vector<at::Tensor>(int64_t fold, double alpha)>& fit_and_score) {
  const at::Tensor targets_NL = tables.targets_without(without);
  double best = -1, chosen = 0;
  for (const double alpha : descending(options.alphas)) {
    std::vector<at::Tensor> scores;
    for (int64_t fold = 0; fold < tables.num_folds(); ++fold) {
      if (holds(without, fold)) continue;
      tables.check_stop();
      for (at::Tensor& part : fit_and_score(fold, alpha)) scores.push_back(std::move(part));
    }
    const double value =
        tables.metric()(tables.everywhere(scores, tables.num_labels(), without), targets_NL);
    if (value > best + 1e-12) {
      best = value;
      chosen = alpha;
    }
  }
  return chosen;
}

std::vector<int64_t> all_labels(const StackTables& tables) {
  std::vector<int64_t> labels(static_cast<size_t>(tables.num_labels()));
  std::iota(labels.begin(), labels.end(), 0);
  return labels;
}

std::vector<RowPiece> pieces_of(const StackTables& tables, int64_t fold) {
  std::vector<RowPiece> result;
  std::ranges::copy_if(tables.pieces(), std::back_inserter(result),
                       [&](const RowPiece& piece) { return piece.fold == fold; });
  return result;
}

std::vector<RowPiece> pieces_of_part(const StackTables& tables, int64_t part) {
  std::vector<RowPiece> result;
  std::ranges::copy_if(tables.pieces(), std::back_inserter(result),
                       [&](const RowPiece& piece) { return piece.part == part; });
  return result;
}

}  // namespace baleen
