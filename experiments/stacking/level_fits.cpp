#include "experiments/stacking/level_fits.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "core/base/error.h"
#include "experiments/stacking/on_threads.h"
#include "experiments/stacking/ridge_sums.h"

namespace baleen {
namespace {

bool holds(const LeftOut& folds, int64_t fold) {
  return std::find(folds.begin(), folds.end(), fold) != folds.end();
}

/// The set for scoring the rows of a fold where `without` is left out throughout (-1: nothing is).
LeftOut both(int64_t fold, int64_t without) {
  if (without < 0 || fold == without) return {fold};
  return {without, fold};
}

/// [collective] The sums of each fold, from where its rows live.
void add_up(std::vector<RidgeSums>& sums_K, const StackTables& tables) {
  std::vector<at::Tensor> tensors;
  for (size_t k = 0; k < sums_K.size(); ++k) {
    sums_K[k].num_rows = tables.count_of(static_cast<int64_t>(k));
    for (const at::Tensor& sum :
         {sums_K[k].sum_D, sums_K[k].sum_K, sums_K[k].gram_DD, sums_K[k].cross_DK})
      tensors.push_back(sum);
  }
  tables.ranks().add_up(tensors);
}

RidgeSums sums_without(const std::vector<RidgeSums>& sums_K, const LeftOut& folds) {
  RidgeSums all(sums_K[0].gram_DD.size(0), sums_K[0].cross_DK.size(1));
  for (size_t k = 0; k < sums_K.size(); ++k) {
    if (!holds(folds, static_cast<int64_t>(k))) all.merge(sums_K[k]);
  }
  return all;
}

/// A fit for one penalty; for those that the sums cannot solve the rows are fetched.
template <class FetchRows>
RidgeModel solve(const RidgeSolver& solver, const std::vector<double>& alphas_K,
                 const FetchRows& fetch) {
  if (auto model = solver.fit(alphas_K)) return *model;
  const auto [x_ND, y_NK] = fetch();
  return RidgeProblem(x_ND, y_NK).fit(alphas_K);
}

std::vector<double> descending(std::vector<double> alphas) {
  std::sort(alphas.rbegin(), alphas.rend());
  return alphas;
}

/// The penalty whose scores on the held-out folds are best; the largest of equals.
/// @param fit_and_score gives the scores of a fold's rows by a fit for one penalty without it
template <class FitAndScore>
double best_by_metric(const StackTables& tables, const StackOptions& options,
                      const LeftOut& without, const FitAndScore& fit_and_score) {
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

std::vector<RowPiece> pieces_of(const StackTables& tables, int64_t fold) {
  std::vector<RowPiece> result;
  for (const RowPiece& piece : tables.pieces()) {
    if (piece.fold == fold) result.push_back(piece);
  }
  return result;
}

}  // namespace

Level1Fits::Level1Fits(const StackTables& tables, const StackOptions& options, bool all_rows)
    : tables_(tables), options_(options) {
  const int64_t num_folds = tables.num_folds();
  if (const std::string key = key_beyond_folds(options, num_folds); !key.empty()) {
    throw Error(ErrorKind::kConfiguration,
                fmt::format("stack: stacking.{} leaves two folds out of three or more", key),
                "leave that key out, or take more folds");
  }
  std::vector<LeftOut> sets;
  for (int64_t k = 0; k < num_folds; ++k) {
    sets.push_back({k});
    for (int64_t j = 0; j < num_folds && options.nested; ++j) {
      if (j != k) sets.push_back({k, j});
    }
  }
  if (all_rows) sets.push_back({});
  for (size_t s = 0; s < sets.size(); ++s) index_[sets[s]] = s;
  models_MS_.resize(static_cast<size_t>(tables.num_models()));
  // One model per task: each is computed in one fixed order, whatever the number of threads.
  on_threads(
      tables.num_models(), [&](int64_t m) { fit_model(m); }, !tables.ranks().alone());
}

void Level1Fits::fit_model(int64_t m) {
  const int64_t num_labels = tables_.num_labels();
  if (!options_.first_level) {
    const auto fp64 = at::TensorOptions(at::kDouble);
    models_MS_[static_cast<size_t>(m)].assign(index_.size(),
                                              {.weights_DK = at::eye(num_labels, fp64),
                                               .intercept_K = at::zeros({num_labels}, fp64),
                                               .alphas_K = {}});
    return;
  }
  const at::Tensor sums_KD = at::zeros({tables_.num_folds(), num_labels}, at::kDouble);
  for (const RowPiece& piece : tables_.pieces())
    sums_KD[piece.fold] += tables_.inputs(m, piece).sum(0);
  tables_.ranks().add_up({sums_KD});
  const at::Tensor shift_D = sums_KD.sum(0) / double(tables_.num_rows_of_all());
  std::vector<RidgeSums> sums_K;
  for (int64_t k = 0; k < tables_.num_folds(); ++k) sums_K.emplace_back(num_labels, num_labels);
  const auto shifted = [&](const RowPiece& piece) {
    return tables_.inputs(m, piece).sub_(shift_D);
  };
  for (const RowPiece& piece : tables_.pieces()) {
    tables_.check_stop();
    sums_K[static_cast<size_t>(piece.fold)].add(shifted(piece), tables_.targets(piece));
  }
  add_up(sums_K, tables_);

  const bool by_metric = options_.alpha_by == "metric" && options_.alphas.size() > 1;
  const auto solver_without = [&](const LeftOut& folds, std::span<const double> alphas) {
    return RidgeSolver(sums_without(sums_K, folds), shift_D, at::zeros({num_labels}, at::kDouble),
                       alphas, tables_.num_folds());
  };
  const auto fit = [&](const RidgeSolver& solver, const LeftOut& folds,
                       const std::vector<double>& alphas_K) {
    return solve(solver, alphas_K, [&] {
      return std::pair(tables_.inputs_without(m, folds), tables_.targets_without(folds));
    });
  };
  const auto with_one = [&](const LeftOut& folds, double alpha) {
    const std::vector<double> one{alpha};
    return fit(solver_without(folds, one), folds,
               std::vector<double>(static_cast<size_t>(num_labels), alpha));
  };

  std::vector<RidgeModel>& models = models_MS_[static_cast<size_t>(m)];
  models.resize(index_.size());
  // Fits without two folds take the penalties of the one without the first alone: those were chosen
  // without the fold that is scored in the end.
  const auto fit_pairs = [&] {
    for (const auto& [folds, place] : index_) {
      if (folds.size() < 2) continue;
      tables_.check_stop();
      const std::vector<double>& alphas_K = models[index_.at({folds[0]})].alphas_K;
      models[place] = fit(solver_without(folds, {alphas_K.data(), 1}), folds, alphas_K);
    }
  };
  if (by_metric) {
    for (const auto& [folds, place] : index_) {
      if (folds.size() == 2) continue;
      const double alpha = best_by_metric(
          tables_, options_, folds, [&, &left_out = folds](int64_t fold, double tried) {
            LeftOut inner = left_out;
            inner.push_back(fold);
            const RidgeModel model = with_one(inner, tried);
            std::vector<at::Tensor> parts;
            for (const RowPiece& piece : pieces_of(tables_, fold))
              parts.push_back(predict(model, tables_.inputs(m, piece)));
            return parts;
          });
      models[place] = with_one(folds, alpha);
    }
    fit_pairs();
    return;
  }
  std::vector<std::pair<const LeftOut*, RidgeSolver>> solvers;
  for (const auto& [folds, place] : index_) {
    if (folds.size() < 2) solvers.emplace_back(&folds, solver_without(folds, options_.alphas));
  }
  if (options_.alphas.size() > 1) {
    for (const RowPiece& piece : tables_.pieces()) {
      tables_.check_stop();
      const at::Tensor x_RD = shifted(piece);
      for (auto& [folds, solver] : solvers) {
        if (!holds(*folds, piece.fold)) solver.add_errors(x_RD, tables_.targets(piece), piece.fold);
      }
    }
    for (const auto& [folds, solver] : solvers) tables_.ranks().add_up(solver.errors());
  }
  for (const auto& [folds, solver] : solvers) {
    models[index_.at(*folds)] = fit(solver, *folds, solver.choose_alphas(options_.alpha_per_label));
  }
  fit_pairs();
}

const RidgeModel& Level1Fits::model(int64_t m, const LeftOut& folds) const {
  return models_MS_[static_cast<size_t>(m)][index_.at(folds)];
}

std::vector<RidgeModel> Level1Fits::models(const LeftOut& folds) const {
  std::vector<RidgeModel> result;
  for (int64_t m = 0; m < tables_.num_models(); ++m) result.push_back(model(m, folds));
  return result;
}

at::Tensor Level1Fits::scores(const RowPiece& piece, int64_t without) const {
  const LeftOut folds = both(piece.fold, options_.nested ? without : -1);
  at::Tensor result =
      at::empty({tables_.num_labels(), piece.count, tables_.num_models()}, at::kDouble);
  for (int64_t m = 0; m < tables_.num_models(); ++m) {
    const RidgeModel& ridge = model(m, folds);
    result.select(2, m).copy_(
        at::addmm(ridge.intercept_K, tables_.inputs(m, piece), ridge.weights_DK).t());
  }
  return result;
}

std::vector<RidgeModel> fit_level2(const StackTables& tables, const Level1Fits& level1,
                                   const StackOptions& options, int64_t without) {
  const int64_t num_models = tables.num_models();
  const auto num_labels = static_cast<size_t>(tables.num_labels());
  const LeftOut left_out = without < 0 ? LeftOut{} : LeftOut{without};
  // Near enough to the first-level scores' means for a point to sum about.
  const auto shift = [&](size_t l) { return tables.centre_L()[static_cast<int64_t>(l)]; };
  const auto shifted_inputs = [&](const RowPiece& piece) {
    return level1.scores(piece, without).sub_(tables.centre_L().reshape({-1, 1, 1}));
  };
  const auto target = [&](const RowPiece& piece, size_t l) {
    return tables.targets(piece).select(1, static_cast<int64_t>(l)).unsqueeze(1).contiguous();
  };
  const bool choice = options.alphas.size() > 1;
  const bool by_metric = choice && options.alpha_by == "metric";

  std::vector<std::vector<RidgeSums>> sums_LK(num_labels);
  for (auto& sums_K : sums_LK) {
    for (int64_t k = 0; k < tables.num_folds(); ++k) sums_K.emplace_back(num_models, 1);
  }
  const std::vector<RowPiece> pieces = tables.pieces_without(left_out);
  for (const RowPiece& piece : pieces) {
    tables.check_stop();
    const at::Tensor x_LRM = shifted_inputs(piece);
    for (size_t l = 0; l < num_labels; ++l) {
      sums_LK[l][static_cast<size_t>(piece.fold)].add(x_LRM[static_cast<int64_t>(l)],
                                                      target(piece, l));
    }
  }
  for (auto& sums_K : sums_LK) add_up(sums_K, tables);
  const auto solver_without = [&](size_t l, const LeftOut& folds, std::span<const double> alphas) {
    return RidgeSolver(sums_without(sums_LK[l], folds), shift(l).expand({num_models}),
                       at::zeros({1}, at::kDouble), alphas, tables.num_folds());
  };
  const auto fit = [&](const RidgeSolver& solver, size_t l, const LeftOut& folds,
                       const std::vector<double>& alpha_1) {
    return solve(solver, alpha_1, [&] {
      std::vector<at::Tensor> x;
      for (const RowPiece& piece : tables.pieces_without(folds))
        x.push_back(level1.scores(piece, without)[static_cast<int64_t>(l)]);
      return std::pair(
          tables.everywhere(x, num_models, folds),
          tables.targets_without(folds).select(1, static_cast<int64_t>(l)).unsqueeze(1));
    });
  };

  std::vector<RidgeModel> models;
  if (by_metric) {
    const auto all_labels = [&](const LeftOut& folds, double alpha) {
      const std::vector<double> one{alpha};
      std::vector<RidgeModel> fits;
      for (size_t l = 0; l < num_labels; ++l)
        fits.push_back(fit(solver_without(l, folds, one), l, folds, one));
      return fits;
    };
    const double alpha = best_by_metric(tables, options, left_out, [&](int64_t fold, double tried) {
      const std::vector<RidgeModel> fits = all_labels(both(fold, without), tried);
      std::vector<at::Tensor> parts;
      for (const RowPiece& piece : pieces_of(tables, fold)) {
        const at::Tensor x_LRM = level1.scores(piece, without);
        std::vector<at::Tensor> columns;
        for (size_t l = 0; l < num_labels; ++l)
          columns.push_back(predict(fits[l], x_LRM[static_cast<int64_t>(l)]).squeeze(1));
        parts.push_back(at::stack(columns, 1));
      }
      return parts;
    });
    return all_labels(left_out, alpha);
  }
  std::vector<RidgeSolver> solvers;
  for (size_t l = 0; l < num_labels; ++l) {
    solvers.push_back(solver_without(l, left_out, options.alphas));
  }
  for (size_t p = 0; p < pieces.size() && choice; ++p) {
    tables.check_stop();
    const at::Tensor x_LRM = shifted_inputs(pieces[p]);
    for (size_t l = 0; l < num_labels; ++l) {
      solvers[l].add_errors(x_LRM[static_cast<int64_t>(l)], target(pieces[p], l), pieces[p].fold);
    }
  }
  if (choice) {
    for (const RidgeSolver& solver : solvers) tables.ranks().add_up(solver.errors());
  }
  for (size_t l = 0; l < num_labels; ++l) {
    models.push_back(fit(solvers[l], l, left_out, solvers[l].choose_alphas(true)));
  }
  return models;
}

}  // namespace baleen
