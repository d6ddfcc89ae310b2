#include "experiments/stacking/level1_fits.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>

#include "core/base/error.h"
#include "experiments/stacking/on_threads.h"

namespace baleen {
namespace {

LeftOut and_also(LeftOut folds, int64_t fold) {
  folds.push_back(fold);
  return folds;
}

/// The ridges of one model, step by step: sums and errors are added part by part of the folds, on
/// any threads, and each step after them needs all parts.
class ModelFit {
 public:
  using Places = std::map<LeftOut, size_t>;

  ModelFit(const StackTables& tables, const StackOptions& options, const Places& places, int64_t m)
      : tables_(tables), options_(options), places_(places), m_(m) {
    for (int64_t s = 0; s < tables.num_parts(); ++s) sums_S_.push_back(no_sums());
  }

  void add_sums(int64_t part);
  /// [collective] Makes the sums of folds.
  void merge_sums();
  void make_solvers();
  void estimate_errors(int64_t part);
  /// [collective]
  void narrow();
  /// Whether penalties are left for add_errors() to compare.
  bool is_open() const;
  void add_errors(int64_t part);
  /// [collective] The model without each set of folds.
  std::vector<RidgeModel> fit();

 private:
  int64_t num_labels() const { return tables_.num_labels(); }
  RidgeSums no_sums() const { return {num_labels(), num_labels()}; }
  at::Tensor shifted(const RowPiece& piece) const;
  /// Calls action(solver, inputs, targets) with the rows of a part for the solvers that have seen
  /// them and that needed(solver) says.
  template <class Needed, class Action>
  void visit_rows(int64_t part, const Needed& needed, const Action& action);
  at::Tensor no_shift_L() const { return at::zeros({num_labels()}, at::kDouble); }
  RidgeSolver solver_without(const LeftOut& folds, std::span<const double> alphas) const {
    return RidgeSolver(sums_without(sums_K_, folds), tables_.mean_input_L(m_), no_shift_L(), alphas,
                       options_.alpha_per_label, tables_.num_parts());
  }
  RidgeModel solved(const RidgeSolver& solver, const LeftOut& folds,
                    const std::vector<double>& alphas_L) const;
  std::vector<double> for_all_labels(double alpha) const {
    return std::vector<double>(static_cast<size_t>(num_labels()), alpha);
  }
  RidgeModel with_alphas(const LeftOut& folds, const std::vector<double>& alphas_L) const;
  RidgeModel with_one(const LeftOut& folds, double alpha) const;
  RidgeModel fit_by_folds(const LeftOut& folds) const;
  RidgeModel fit_by_metric(const LeftOut& folds) const;

  const StackTables& tables_;
  const StackOptions& options_;
  const Places& places_;
  int64_t m_;
  std::vector<RidgeSums> sums_S_, sums_K_;
  std::vector<std::pair<const LeftOut*, RidgeSolver>> solvers_;  // of sets that choose penalties
};

at::Tensor ModelFit::shifted(const RowPiece& piece) const {
  at::Tensor x_LP = tables_.inputs(m_, piece);
  const Columns x_L = columns_of(x_LP, piece.count);
  subtract(x_L, tables_.mean_input_L(m_).const_data_ptr<double>(), x_L);
  return x_LP;
}

void ModelFit::add_sums(int64_t part) {
  for (const RowPiece& piece : pieces_of_part(tables_, part)) {
    tables_.check_stop();
    const at::Tensor x_LP = shifted(piece);
    sums_S_[static_cast<size_t>(part)].add(columns_of(x_LP, piece.count),
                                           columns_of(tables_.targets(piece), piece.count));
  }
}

void ModelFit::merge_sums() { sums_K_ = sums_of_folds(sums_S_, tables_); }

void ModelFit::make_solvers() {
  for (const auto& [folds, place] : places_) {
    if (folds.size() < 2) solvers_.emplace_back(&folds, solver_without(folds, options_.alphas));
  }
}

template <class Needed, class Action>
void ModelFit::visit_rows(int64_t part, const Needed& needed, const Action& action) {
  for (const RowPiece& piece : pieces_of_part(tables_, part)) {
    tables_.check_stop();
    at::Tensor x_LP;
    for (auto& [folds, solver] : solvers_) {
      if (holds(*folds, piece.fold) || !needed(solver)) continue;
      if (!x_LP.defined()) x_LP = shifted(piece);
      action(solver, columns_of(x_LP, piece.count),
             columns_of(tables_.targets(piece), piece.count));
    }
  }
}

void ModelFit::estimate_errors(int64_t part) {
  RidgeScratch scratch;
  const auto add = [&](RidgeSolver& solver, const Columns& x_L, const Columns& y_L) {
    solver.estimate_errors(x_L, y_L, part, scratch);
  };
  visit_rows(
      part, [](const RidgeSolver& solver) { return solver.has_choice(); }, add);
}

void ModelFit::narrow() {
  for (auto& [folds, solver] : solvers_) {
    tables_.ranks().add_up(solver.estimates());
    solver.narrow();
  }
}

bool ModelFit::is_open() const {
  return std::ranges::any_of(solvers_, [](const auto& one) { return one.second.is_open(); });
}

void ModelFit::add_errors(int64_t part) {
  RidgeScratch scratch;
  const auto add = [&](RidgeSolver& solver, const Columns& x_L, const Columns& y_L) {
    solver.add_errors(x_L, y_L, part, scratch);
  };
  visit_rows(
      part, [](const RidgeSolver& solver) { return solver.is_open(); }, add);
}

RidgeModel ModelFit::solved(const RidgeSolver& solver, const LeftOut& folds,
                            const std::vector<double>& alphas_L) const {
  return solve(solver, alphas_L, [&] {
    return std::pair(tables_.inputs_without(m_, folds), tables_.targets_without(folds));
  });
}

RidgeModel ModelFit::with_alphas(const LeftOut& folds, const std::vector<double>& alphas_L) const {
  return solved(solver_without(folds, {alphas_L.data(), 1}), folds, alphas_L);
}

RidgeModel ModelFit::with_one(const LeftOut& folds, double alpha) const {
  return with_alphas(folds, for_all_labels(alpha));
}

RidgeModel ModelFit::fit_by_folds(const LeftOut& folds) const {
  const auto fits_without = [&](int64_t fold, const std::vector<double>& alphas) {
    const LeftOut inner = and_also(folds, fold);
    const RidgeSolver solver = solver_without(inner, {alphas.data(), 1});
    std::vector<RidgeModel> models;
    models.reserve(alphas.size());
    for (const double alpha : alphas)
      models.push_back(solved(solver, inner, for_all_labels(alpha)));
    return models;
  };
  return with_alphas(
      folds, best_by_folds(tables_, options_, sums_K_, tables_.mean_input_L(m_), no_shift_L(),
                           folds, options_.alpha_per_label, fits_without));
}

RidgeModel ModelFit::fit_by_metric(const LeftOut& folds) const {
  const auto score = [&](int64_t fold, double alpha) {
    const RidgeModel model = with_one(and_also(folds, fold), alpha);
    std::vector<at::Tensor> parts;
    for (const RowPiece& piece : pieces_of(tables_, fold))
      parts.push_back(predict(model, as_rows(tables_.inputs(m_, piece), piece)));
    return parts;
  };
  return with_one(folds, best_by_metric(tables_, options_, folds, score));
}

std::vector<RidgeModel> ModelFit::fit() {
  std::vector<RidgeModel> models(places_.size());
  if (leaves_folds_out(options_)) {
    for (const auto& [folds, place] : places_) {
      if (folds.size() >= 2) continue;
      models[place] = options_.alpha_by == "metric" ? fit_by_metric(folds) : fit_by_folds(folds);
    }
  } else {
    for (const auto& [folds, solver] : solvers_) {
      tables_.ranks().add_up(solver.errors());
      models[places_.at(*folds)] = solved(solver, *folds, solver.choose_alphas());
    }
  }
  // Fits without two folds take the penalties of the one without the first alone: those were chosen
  // without the fold that is scored in the end.
  for (const auto& [folds, place] : places_) {
    if (folds.size() < 2) continue;
    tables_.check_stop();
    const std::vector<double>& alphas_L = models[places_.at({folds[0]})].alphas_K;
    models[place] = with_alphas(folds, alphas_L);
  }
  return models;
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
  if (options.first_level) {
    fit_models();
    return;
  }
  const RidgeModel as_it_is{.weights_DK = at::eye(tables.num_labels(), at::kDouble),
                            .intercept_K = at::zeros({tables.num_labels()}, at::kDouble),
                            .alphas_K = {}};
  models_MS_.assign(static_cast<size_t>(tables.num_models()),
                    std::vector<RidgeModel>(index_.size(), as_it_is));
}

void Level1Fits::fit_models() {
  const int64_t num_models = tables_.num_models(), num_parts = tables_.num_parts();
  models_MS_.resize(static_cast<size_t>(num_models));
  // As many models at once as there are threads, and each in parts: what is held for a model grows
  // with the square of the labels. Each sum is made in one order, whatever the number of threads.
  const int64_t group_size = at::get_num_threads();
  for (int64_t first = 0; first < num_models; first += group_size) {
    std::vector<ModelFit> fits;
    for (int64_t m = first; m < std::min(first + group_size, num_models); ++m)
      fits.emplace_back(tables_, options_, index_, m);
    const int64_t count = std::ssize(fits);
    const auto each = [&](int64_t i) -> ModelFit& { return fits[static_cast<size_t>(i)]; };
    const auto in_parts = [&](void (ModelFit::*add)(int64_t part)) {
      on_threads(count * num_parts, [&](int64_t i) { (each(i / num_parts).*add)(i % num_parts); });
    };
    in_parts(&ModelFit::add_sums);
    for (ModelFit& fit : fits) fit.merge_sums();
    if (!leaves_folds_out(options_)) {
      on_threads(count, [&](int64_t i) { each(i).make_solvers(); });
      if (options_.alphas.size() > 1) in_parts(&ModelFit::estimate_errors);
      on_threads(
          count, [&](int64_t i) { each(i).narrow(); }, !tables_.ranks().alone());
      if (std::ranges::any_of(fits, &ModelFit::is_open)) in_parts(&ModelFit::add_errors);
    }
    const auto finish = [&](int64_t i) {
      models_MS_[static_cast<size_t>(first + i)] = each(i).fit();
    };
    on_threads(count, finish, /*one_by_one=*/!tables_.ranks().alone());
  }
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

Level1Scores::Level1Scores(const Level1Fits& fits, int64_t without, std::vector<int64_t> labels)
    : fits_(fits), labels_S_(std::move(labels)) {
  const StackTables& tables = fits.tables_;
  const at::Tensor index_S = at::tensor(labels_S_, at::kLong);
  for (int64_t fold = 0; fold < tables.num_folds(); ++fold) {
    const LeftOut folds = both(fold, fits.options_.nested ? without : -1);
    std::vector<Function>& functions_M = functions_KM_.emplace_back();
    for (int64_t m = 0; m < tables.num_models(); ++m) {
      const RidgeModel& model = fits.model(m, folds);
      Function& one = functions_M.emplace_back();
      one.offset_S = (model.intercept_K - tables.centre_L()).index_select(0, index_S);
      if (fits.options_.first_level)
        one.weights = ColumnWeights(model.weights_DK.index_select(1, index_S).t());
    }
  }
}

at::Tensor Level1Scores::of(const std::vector<at::Tensor>& inputs_M, const RowPiece& piece,
                            at::Tensor memory) const {
  const int64_t num_models = std::ssize(inputs_M), num_labels = std::ssize(labels_S_);
  const std::vector<int64_t> shape{num_labels, num_models, padded_rows(piece.count)};
  at::Tensor result_SMP = memory.defined() && memory.sizes() == at::IntArrayRef(shape)
                              ? std::move(memory)
                              : at::empty(shape, at::kDouble);
  for (int64_t m = 0; m < num_models; ++m) {
    const Function& one = functions_KM_[static_cast<size_t>(piece.fold)][static_cast<size_t>(m)];
    const at::Tensor& input_LP = inputs_M[static_cast<size_t>(m)];
    at::Tensor out_SP = result_SMP.select(1, m);
    const Columns out{out_SP.data_ptr<double>(), num_labels, piece.count, out_SP.stride(0)};
    if (one.weights.num_outputs() > 0) {
      apply_columns(one.weights, one.offset_S.const_data_ptr<double>(),
                    columns_of(input_LP, piece.count), out);
    } else {
      for (int64_t s = 0; s < num_labels; ++s) {
        at::Tensor out_P = out_SP[s];
        at::add_out(out_P, input_LP[labels_S_[static_cast<size_t>(s)]], one.offset_S[s]);
      }
    }
    clear_padding(out);
  }
  return result_SMP;
}

}  // namespace baleen
