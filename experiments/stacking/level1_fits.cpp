#include "experiments/stacking/level1_fits.h"

#include <ATen/ATen.h>

#include "core/base/error.h"
#include "experiments/stacking/on_threads.h"

namespace baleen {

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
  if (!options.first_level) return;
  for (const std::vector<RidgeModel>& models : models_MS_) {
    std::vector<ColumnWeights>& weights = weights_MS_.emplace_back();
    for (const RidgeModel& model : models) weights.emplace_back(model.weights_DK.t());
  }
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
  const at::Tensor shift_D = tables_.mean_input_L(m);
  std::vector<RidgeSums> sums_K;
  for (int64_t k = 0; k < tables_.num_folds(); ++k) sums_K.emplace_back(num_labels, num_labels);
  const auto shifted = [&](const RowPiece& piece) {
    at::Tensor x_DP = tables_.inputs(m, piece);
    x_DP.narrow(1, 0, piece.count).sub_(shift_D.unsqueeze(1));
    return x_DP;
  };
  const auto targets = [&](const RowPiece& piece) {
    return columns_of(tables_.targets(piece), piece.count);
  };
  for (const RowPiece& piece : tables_.pieces()) {
    tables_.check_stop();
    const at::Tensor x_DP = shifted(piece);
    sums_K[static_cast<size_t>(piece.fold)].add(columns_of(x_DP, piece.count), targets(piece));
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
              parts.push_back(predict(model, as_rows(tables_.inputs(m, piece), piece)));
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
    RidgeScratch scratch;
    for (const RowPiece& piece : tables_.pieces()) {
      tables_.check_stop();
      const at::Tensor x_DP = shifted(piece);
      for (auto& [folds, solver] : solvers) {
        if (holds(*folds, piece.fold)) continue;
        solver.add_errors(columns_of(x_DP, piece.count), targets(piece), piece.fold, scratch);
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

std::vector<at::Tensor> Level1Fits::inputs_of(const RowPiece& piece) const {
  std::vector<at::Tensor> inputs_M;
  for (int64_t m = 0; m < tables_.num_models(); ++m) inputs_M.push_back(tables_.inputs(m, piece));
  return inputs_M;
}

at::Tensor Level1Fits::scores(const RowPiece& piece, int64_t without) const {
  return scores(inputs_of(piece), piece, without);
}

at::Tensor Level1Fits::scores(const std::vector<at::Tensor>& inputs_M, const RowPiece& piece,
                              int64_t without) const {
  const size_t place = index_.at(both(piece.fold, options_.nested ? without : -1));
  const int64_t num_models = tables_.num_models(), num_labels = tables_.num_labels();
  at::Tensor result_LMP =
      at::empty({num_labels, num_models, padded_rows(piece.count)}, at::kDouble);
  for (int64_t m = 0; m < num_models; ++m) {
    const auto model = static_cast<size_t>(m);
    const at::Tensor offset_L = models_MS_[model][place].intercept_K - tables_.centre_L();
    at::Tensor out_LP = result_LMP.select(1, m);
    const Columns out{out_LP.data_ptr<double>(), num_labels, piece.count, out_LP.stride(0)};
    if (options_.first_level) {
      apply_columns(weights_MS_[model][place], offset_L.const_data_ptr<double>(),
                    columns_of(inputs_M[model], piece.count), out);
    } else {
      at::add_out(out_LP, inputs_M[model], offset_L.unsqueeze(1));
    }
    clear_padding(out);
  }
  return result_LMP;
}

}  // namespace baleen
