#include "experiments/stacking/level2_fits.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "experiments/stacking/level_sums.h"
#include "experiments/stacking/on_threads.h"

namespace baleen {
namespace {

/// The second level's fits, from the rows that all of them share.
class Level2Fits {
 public:
  Level2Fits(const StackTables& tables, const Level1Fits& level1, const StackOptions& options,
             int64_t num_fits)
      : tables_(tables), level1_(level1), options_(options), num_fits_(num_fits) {
    add_sums();
  }

  /// Penalties by leave-one-out errors, for each label.
  std::vector<std::vector<RidgeModel>> fit_by_errors() const;
  /// Penalties by errors on the folds, each left out in turn, for each label.
  std::vector<RidgeModel> fit_by_folds(int64_t fit) const;
  /// One penalty for all labels, by the metric.
  std::vector<RidgeModel> fit_by_metric(int64_t fit) const;

 private:
  /// The fold that a fit leaves out; -1: none.
  int64_t without(int64_t fit) const { return fit < tables_.num_folds() ? fit : -1; }
  /// Fits that see the same first-level scores share them, and their sums.
  int64_t view(int64_t fit) const { return options_.nested ? fit : 0; }
  int64_t num_views() const { return options_.nested ? num_fits_ : 1; }
  LeftOut left_out(int64_t fit) const {
    return without(fit) < 0 ? LeftOut{} : LeftOut{without(fit)};
  }
  const std::vector<RidgeSums>& sums(int64_t fit, int64_t label) const {
    return sums_VLK_[static_cast<size_t>(view(fit) * tables_.num_labels() + label)];
  }

  using Solvers = std::vector<std::vector<RidgeSolver>>;  // [fits][L]
  static std::vector<RidgeSolver>& of(int64_t fit, Solvers& solvers_FL) {
    return solvers_FL[static_cast<size_t>(fit)];
  }

  /// Calls visit(piece, view, labels [S], scores_SMP) for each view's labels [V][S] and the rows
  /// that it sees, the parts of folds on threads.
  template <class Visit>
  void visit_scores(std::vector<std::vector<int64_t>> labels_VS, const Visit& visit) const;
  /// [collective] Brings each solver to where it can choose its penalty.
  void choose_by_errors(Solvers& solvers_FL) const;
  void add_sums();
  /// Near enough to the models' first-level scores for a point to sum about, [M].
  at::Tensor shift_M(int64_t label) const {
    return tables_.centre_L()[label].expand({tables_.num_models()});
  }
  static at::Tensor no_shift_1() { return at::zeros({1}, at::kDouble); }
  RidgeSolver solver(int64_t fit, int64_t label, const LeftOut& folds,
                     std::span<const double> alphas) const;
  RidgeModel solved(const RidgeSolver& solver, int64_t fit, int64_t label, const LeftOut& folds,
                    const std::vector<double>& alpha_1) const;
  RidgeModel with_one(int64_t fit, int64_t label, const LeftOut& folds, double alpha) const {
    const std::vector<double> one{alpha};
    return solved(solver(fit, label, folds, one), fit, label, folds, one);
  }

  const StackTables& tables_;
  const Level1Fits& level1_;
  const StackOptions& options_;
  int64_t num_fits_;
  std::vector<std::vector<RidgeSums>> sums_VLK_;
};

/// The models' scores of the s-th label of a table [S, M, P].
Columns scores_of_label(const at::Tensor& scores_SMP, int64_t s, const RowPiece& piece) {
  const int64_t num_models = scores_SMP.size(1), stride = scores_SMP.size(2);
  return {scores_SMP.data_ptr<double>() + s * num_models * stride, num_models, piece.count, stride};
}

template <class Visit>
void Level2Fits::visit_scores(std::vector<std::vector<int64_t>> labels_VS,
                              const Visit& visit) const {
  std::vector<Level1Scores> scores_V;
  for (int64_t v = 0; v < num_views(); ++v)
    scores_V.emplace_back(level1_, without(v), std::move(labels_VS[static_cast<size_t>(v)]));
  on_threads(tables_.num_parts(), [&](int64_t part) {
    at::Tensor scores_SMP;
    for (const RowPiece& piece : pieces_of_part(tables_, part)) {
      tables_.check_stop();
      std::vector<at::Tensor> inputs_M;
      for (int64_t v = 0; v < num_views(); ++v) {
        const Level1Scores& scores = scores_V[static_cast<size_t>(v)];
        if ((options_.nested && without(v) == piece.fold) || scores.labels().empty()) continue;
        if (inputs_M.empty()) inputs_M = level1_.inputs_of(piece);
        scores_SMP = scores.of(inputs_M, piece, scores_SMP);
        visit(piece, v, scores.labels(), scores_SMP);
      }
    }
  });
}

void Level2Fits::add_sums() {
  const int64_t num_labels = tables_.num_labels();
  std::vector<std::vector<RidgeSums>> sums_of_parts(static_cast<size_t>(num_views() * num_labels));
  for (std::vector<RidgeSums>& sums_S : sums_of_parts) {
    for (int64_t s = 0; s < tables_.num_parts(); ++s) sums_S.emplace_back(tables_.num_models(), 1);
  }
  visit_scores(
      std::vector(static_cast<size_t>(num_views()), all_labels(tables_)),
      [&](const RowPiece& piece, int64_t v, const auto& labels, const at::Tensor& scores_LMP) {
        const Columns targets_L = columns_of(tables_.targets(piece), piece.count);
        for (const int64_t l : labels) {
          sums_of_parts[static_cast<size_t>(v * num_labels + l)][static_cast<size_t>(piece.part)]
              .add(scores_of_label(scores_LMP, l, piece), targets_L.narrow(l, 1));
        }
      });
  for (const std::vector<RidgeSums>& sums_S : sums_of_parts)
    sums_VLK_.push_back(sums_of_folds(sums_S, tables_));
}

RidgeSolver Level2Fits::solver(int64_t fit, int64_t label, const LeftOut& folds,
                               std::span<const double> alphas) const {
  return RidgeSolver(sums_without(sums(fit, label), folds), shift_M(label), no_shift_1(), alphas,
                     /*per_target=*/true, tables_.num_parts());
}

RidgeModel Level2Fits::solved(const RidgeSolver& solver, int64_t fit, int64_t label,
                              const LeftOut& folds, const std::vector<double>& alpha_1) const {
  return solve(solver, alpha_1, [&] {
    const Level1Scores scores(level1_, without(fit), {label});
    std::vector<at::Tensor> x;
    for (const RowPiece& piece : tables_.pieces_without(folds))
      x.push_back(as_rows(scores.of(piece)[0], piece) + tables_.centre_L()[label]);
    return std::pair(tables_.everywhere(x, tables_.num_models(), folds),
                     tables_.targets_without(folds).select(1, label).unsqueeze(1));
  });
}

std::vector<RidgeModel> Level2Fits::fit_by_folds(int64_t fit) const {
  std::vector<RidgeModel> fits;
  for (int64_t l = 0; l < tables_.num_labels(); ++l) {
    const std::vector<double> alpha_1 =
        best_by_folds(tables_, options_, sums(fit, l), shift_M(l), no_shift_1(), left_out(fit),
                      /*per_target=*/true, [&](int64_t fold, const std::vector<double>& alphas) {
                        const LeftOut inner = both(fold, without(fit));
                        const RidgeSolver one = solver(fit, l, inner, {alphas.data(), 1});
                        std::vector<RidgeModel> models;
                        models.reserve(alphas.size());
                        for (const double alpha : alphas)
                          models.push_back(solved(one, fit, l, inner, {alpha}));
                        return models;
                      });
    fits.push_back(with_one(fit, l, left_out(fit), alpha_1.front()));
  }
  return fits;
}

std::vector<RidgeModel> Level2Fits::fit_by_metric(int64_t fit) const {
  const auto fit_labels = [&](const LeftOut& folds, double alpha) {
    std::vector<RidgeModel> fits;
    for (int64_t l = 0; l < tables_.num_labels(); ++l)
      fits.push_back(with_one(fit, l, folds, alpha));
    return fits;
  };
  const Level1Scores scores(level1_, without(fit), all_labels(tables_));
  const auto score = [&](int64_t fold, double alpha) {
    const std::vector<RidgeModel> fits = fit_labels(both(fold, without(fit)), alpha);
    std::vector<at::Tensor> parts;
    for (const RowPiece& piece : pieces_of(tables_, fold)) {
      const at::Tensor scores_LMP = scores.of(piece);
      std::vector<at::Tensor> columns;
      for (int64_t l = 0; l < tables_.num_labels(); ++l) {
        const at::Tensor x_RM = as_rows(scores_LMP[l], piece) + tables_.centre_L()[l];
        columns.push_back(predict(fits[static_cast<size_t>(l)], x_RM).squeeze(1));
      }
      parts.push_back(at::stack(columns, 1));
    }
    return parts;
  };
  return fit_labels(left_out(fit), best_by_metric(tables_, options_, left_out(fit), score));
}

void Level2Fits::choose_by_errors(Solvers& solvers_FL) const {
  std::vector<RidgeScratch> scratch_S(static_cast<size_t>(tables_.num_parts()));
  const auto solver_of = [&](int64_t fit, int64_t label) -> RidgeSolver& {
    return of(fit, solvers_FL)[static_cast<size_t>(label)];
  };
  // Of a view's labels only those that one of its fits asks for.
  const auto all_rows = [&](const auto& needed, auto add) {
    std::vector<std::vector<int64_t>> labels_VS(static_cast<size_t>(num_views()));
    for (int64_t l = 0; l < tables_.num_labels(); ++l) {
      std::vector<bool> asked_V(labels_VS.size());
      for (int64_t fit = 0; fit < num_fits_; ++fit)
        if (needed(solver_of(fit, l))) asked_V[static_cast<size_t>(view(fit))] = true;
      for (size_t v = 0; v < labels_VS.size(); ++v)
        if (asked_V[v]) labels_VS[v].push_back(l);
    }
    visit_scores(labels_VS, [&](const RowPiece& piece, int64_t v, const auto& labels,
                                const at::Tensor& scores_SMP) {
      const Columns targets_L = columns_of(tables_.targets(piece), piece.count);
      RidgeScratch& scratch = scratch_S[static_cast<size_t>(piece.part)];
      for (int64_t fit = 0; fit < num_fits_; ++fit) {
        if (view(fit) != v || without(fit) == piece.fold) continue;
        for (size_t s = 0; s < labels.size(); ++s) {
          RidgeSolver& one = solver_of(fit, labels[s]);
          if (!needed(one)) continue;
          (one.*add)(scores_of_label(scores_SMP, static_cast<int64_t>(s), piece),
                     targets_L.narrow(labels[s], 1), piece.part, scratch);
        }
      }
    });
  };
  const auto each = [&](const auto& action) {
    on_threads(
        num_fits_, [&](int64_t fit) { std::ranges::for_each(of(fit, solvers_FL), action); },
        !tables_.ranks().alone());
  };
  all_rows([](const RidgeSolver& one) { return one.has_choice(); }, &RidgeSolver::estimate_errors);
  each([&](RidgeSolver& one) {
    tables_.ranks().add_up(one.estimates());
    one.narrow();
  });
  all_rows([](const RidgeSolver& one) { return one.is_open(); }, &RidgeSolver::add_errors);
  each([&](const RidgeSolver& one) { tables_.ranks().add_up(one.errors()); });
}

std::vector<std::vector<RidgeModel>> Level2Fits::fit_by_errors() const {
  const int64_t num_labels = tables_.num_labels();
  Solvers solvers_FL(static_cast<size_t>(num_fits_));
  on_threads(num_fits_, [&](int64_t fit) {
    for (int64_t l = 0; l < num_labels; ++l) {
      solvers_FL[static_cast<size_t>(fit)].push_back(
          solver(fit, l, left_out(fit), options_.alphas));
    }
  });
  choose_by_errors(solvers_FL);
  std::vector<std::vector<RidgeModel>> fits(static_cast<size_t>(num_fits_));
  const auto finish = [&](int64_t fit) {
    const std::vector<RidgeSolver>& solvers_L = solvers_FL[static_cast<size_t>(fit)];
    for (int64_t l = 0; l < num_labels; ++l) {
      const RidgeSolver& one = solvers_L[static_cast<size_t>(l)];
      fits[static_cast<size_t>(fit)].push_back(
          solved(one, fit, l, left_out(fit), one.choose_alphas()));
    }
  };
  on_threads(num_fits_, finish, !tables_.ranks().alone());
  return fits;
}

}  // namespace

std::vector<std::vector<RidgeModel>> fit_level2(const StackTables& tables, const Level1Fits& level1,
                                                const StackOptions& options, bool all_rows) {
  const int64_t num_fits = tables.num_folds() + (all_rows ? 1 : 0);
  const Level2Fits level2(tables, level1, options, num_fits);
  if (!leaves_folds_out(options)) return level2.fit_by_errors();
  std::vector<std::vector<RidgeModel>> fits(static_cast<size_t>(num_fits));
  const auto make = [&](int64_t fit) {
    fits[static_cast<size_t>(fit)] =
        options.alpha_by == "metric" ? level2.fit_by_metric(fit) : level2.fit_by_folds(fit);
  };
  on_threads(num_fits, make, !tables.ranks().alone());
  return fits;
}

}  // namespace baleen
