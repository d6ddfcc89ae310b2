#include "experiments/stacking/two_level.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "core/base/error.h"
#include "experiments/stacking/level2_fits.h"
#include "experiments/stacking/on_threads.h"
#include "experiments/stacking/stack_tables.h"

namespace baleen {
namespace {

at::Tensor to_double(const at::Tensor& values) {
  return values.detach().to(at::kCPU, at::kDouble).contiguous();
}

void check_test(const StackInput& input, const at::Tensor& test_TL, size_t model) {
  const at::Tensor bad = at::nonzero(at::isfinite(test_TL).logical_not());
  if (bad.size(0) == 0) return;
  throw Error(ErrorKind::kNumeric,
              fmt::format("stack: the prediction of model {} for test sample {} is not finite",
                          input.models[model],
                          input.test_ids[static_cast<size_t>(bad[0][0].item<int64_t>())]),
              "its training diverged: look at the model's curves");
}

/// Level-2 output [L, P] of level-1 scores [L, M, P] less `centre_L`; labels without anything
/// learnt as the options say.
/// @param mean_of gives the models' mean prediction of a label, [rows]
template <class MeanOf>
at::Tensor apply_level2(const StackFit& fit, const at::Tensor& x_LMP, const at::Tensor& centre_L,
                        int64_t rows, const StackOptions& options, const MeanOf& mean_of) {
  const int64_t num_labels = x_LMP.size(0);
  at::Tensor z_LP = at::empty({num_labels, x_LMP.size(2)}, at::kDouble);
  const Columns out_L = columns_of(z_LP, rows);
  for (int64_t l = 0; l < num_labels; ++l) {
    const auto label = static_cast<size_t>(l);
    if (fit.constant_L[label] && options.constant_labels == "mean") {
      z_LP[l].narrow(0, 0, rows).copy_(mean_of(l));
      continue;
    }
    const RidgeModel& model = fit.level2_L[label];
    const double offset = model.intercept_K.item<double>() +
                          centre_L[l].item<double>() * model.weights_DK.sum().item<double>();
    apply_columns(ColumnWeights(model.weights_DK.t()), &offset, columns_of(x_LMP[l], rows),
                  out_L.narrow(l, 1));
  }
  return options.clip ? z_LP.clamp_(0, 1) : z_LP;
}

/// For each label what it always is in the rows outside a fold (-1: in all rows), or NaN.
std::vector<double> constant_values(const StackTables& tables, int64_t without) {
  std::vector<double> values;
  for (int64_t l = 0; l < tables.num_labels(); ++l) {
    double positives = 0, rows = 0;
    for (int64_t fold = 0; fold < tables.num_folds(); ++fold) {
      if (fold == without) continue;
      positives += tables.positives_KL()[fold][l].item<double>();
      rows += double(tables.count_of(fold));
    }
    values.push_back(positives == 0      ? 0.0
                     : positives == rows ? 1.0
                                         : std::numeric_limits<double>::quiet_NaN());
  }
  return values;
}

std::vector<bool> are_constant(const std::vector<double>& values) {
  std::vector<bool> constant;
  for (const double value : values) constant.push_back(!std::isnan(value));
  return constant;
}

std::vector<ConstantLabel> find_constant_labels(const StackTables& tables) {
  std::vector<ConstantLabel> found;
  const std::vector<double> everywhere = constant_values(tables, -1);
  for (int64_t fold = -1; fold < tables.num_folds(); ++fold) {
    const std::vector<double> here = fold < 0 ? everywhere : constant_values(tables, fold);
    for (size_t l = 0; l < here.size(); ++l) {
      if (std::isnan(here[l]) || (fold >= 0 && !std::isnan(everywhere[l]))) continue;
      found.push_back({static_cast<int64_t>(l), fold, here[l]});
    }
  }
  return found;
}

/// Scores of the test set by both levels of one fit.
at::Tensor transform_test(const StackInput& input, const StackTables& tables, const StackFit& fit,
                          const StackOptions& options) {
  const auto num_tests = static_cast<int64_t>(input.test_ids.size());
  at::Tensor x_LMP =
      at::empty({tables.num_labels(), tables.num_models(), padded_rows(num_tests)}, at::kDouble);
  const auto table = [&](int64_t m) {
    return to_double(input.test_MTL[tables.kept()[static_cast<size_t>(m)]]);
  };
  for (int64_t m = 0; m < tables.num_models(); ++m) {
    x_LMP.select(1, m)
        .narrow(1, 0, num_tests)
        .copy_(predict(fit.level1_M[static_cast<size_t>(m)], level1_input(table(m), options)).t());
  }
  const at::Tensor z_LP = apply_level2(fit, x_LMP, at::zeros_like(tables.centre_L()), num_tests,
                                       options, [&](int64_t l) {
                                         at::Tensor sum = at::zeros({num_tests}, at::kDouble);
                                         for (int64_t m = 0; m < tables.num_models(); ++m)
                                           sum += table(m).select(1, l);
                                         return sum / double(tables.num_models());
                                       });
  return z_LP.narrow(1, 0, num_tests).t().contiguous();
}

/// Out-of-fold scores of both levels, piece by piece.
void fill_scores(const StackTables& tables, const Level1Fits& level1, StackResult& result,
                 bool keep_level1) {
  const int64_t num_rows = tables.num_rows(), num_labels = tables.num_labels();
  result.oof_NL = at::empty({num_rows, num_labels}, at::kDouble);
  result.level1_mean_NL = at::empty({num_rows, num_labels}, at::kDouble);
  if (keep_level1) {
    result.level1_oof_MNL = at::empty({tables.num_models(), num_rows, num_labels}, at::kDouble);
  }
  const ColumnWeights mean_of_models(
      at::full({1, tables.num_models()}, 1 / double(tables.num_models()), at::kDouble));
  const Level1Scores scores(level1, -1, all_labels(tables));  // a row by the fits without its fold
  const auto& pieces = tables.pieces();
  on_threads(std::ssize(pieces), [&](int64_t p) {
    tables.check_stop();
    const RowPiece& piece = pieces[static_cast<size_t>(p)];
    const at::Tensor x_LMP = scores.of(piece);
    at::Tensor mean_LP = at::empty({num_labels, x_LMP.size(2)}, at::kDouble);
    const Columns means_L = columns_of(mean_LP, piece.count);
    for (int64_t l = 0; l < num_labels; ++l) {
      apply_columns(mean_of_models, tables.centre_L().const_data_ptr<double>() + l,
                    columns_of(x_LMP[l], piece.count), means_L.narrow(l, 1));
    }
    tables.put_rows(as_rows(mean_LP, piece), piece, result.level1_mean_NL);
    for (int64_t m = 0; keep_level1 && m < tables.num_models(); ++m) {
      tables.put_rows(as_rows(x_LMP.select(1, m), piece) + tables.centre_L(), piece,
                      result.level1_oof_MNL[m]);
    }
    const StackFit& fit = result.by_fold_K[static_cast<size_t>(piece.fold)];
    const at::Tensor z_LP =
        apply_level2(fit, x_LMP, tables.centre_L(), piece.count, result.options, [&](int64_t l) {
          at::Tensor sum_R = at::zeros({piece.count}, at::kDouble);
          for (int64_t m = 0; m < tables.num_models(); ++m)
            sum_R += as_rows(tables.probabilities(m, piece), piece).select(1, l);
          return sum_R / double(tables.num_models());
        });
    tables.put_rows(as_rows(z_LP, piece), piece, result.oof_NL);
  });
}

}  // namespace

std::string key_beyond_folds(const StackOptions& options, int64_t num_folds) {
  if (num_folds > 2) return {};
  if (options.nested) return "nested";
  return leaves_folds_out(options) ? "alpha_by" : "";
}

StackResult fit_stack(const StackInput& input, const StackOptions& options, bool keep_level1,
                      const StackRanks& ranks, const std::function<void()>& check_stop) {
  const at::NoGradGuard no_grad;
  const StackTables tables(input, options, ranks, check_stop);
  StackResult result{.options = options, .labels = input.labels};
  for (size_t m = 0; m < input.models.size(); ++m) {
    const auto& kept = tables.kept();
    const bool used = std::find(kept.begin(), kept.end(), static_cast<int64_t>(m)) != kept.end();
    (used ? result.models : result.dropped).push_back(input.models[m]);
  }
  ranks.agree([&] {
    for (const int64_t m : tables.kept()) {
      if (!input.test_ids.empty())
        check_test(input, to_double(input.test_MTL[m]), static_cast<size_t>(m));
    }
  });
  result.constant_labels = find_constant_labels(tables);

  const bool refit = options.test == "refit";
  const Level1Fits level1(tables, options, refit);
  const auto num_folds = static_cast<size_t>(tables.num_folds());
  // Each fold in turn is left out of both levels, then none where all rows are to be fitted again.
  std::vector<std::vector<RidgeModel>> level2_FL = fit_level2(tables, level1, options, refit);
  std::vector<StackFit> fits;
  for (size_t k = 0; k < level2_FL.size(); ++k) {
    const int64_t without = k < num_folds ? static_cast<int64_t>(k) : -1;
    fits.push_back({.level1_M = level1.models(without < 0 ? LeftOut{} : LeftOut{without}),
                    .level2_L = std::move(level2_FL[k]),
                    .constant_L = are_constant(constant_values(tables, without))});
  }
  if (refit) {
    result.refit = std::move(fits.back());
    fits.pop_back();
  }
  result.by_fold_K = std::move(fits);
  fill_scores(tables, level1, result, keep_level1);

  std::vector<at::Tensor> weights_KML;
  for (const StackFit& fit : result.by_fold_K) {
    std::vector<at::Tensor> columns_L;
    for (const RidgeModel& model : fit.level2_L) columns_L.push_back(model.weights_DK.squeeze(1));
    weights_KML.push_back(at::stack(columns_L, 1));
  }
  result.weights_ML = at::stack(weights_KML).mean(0);
  if (input.test_ids.empty()) return result;
  if (result.refit) {
    result.test_TL = transform_test(input, tables, *result.refit, options);
    return result;
  }
  for (const StackFit& fit : result.by_fold_K) {
    const at::Tensor of_fold_TL = transform_test(input, tables, fit, options);
    result.test_TL = result.test_TL.defined() ? result.test_TL + of_fold_TL : of_fold_TL;
  }
  result.test_TL = result.test_TL / double(num_folds);
  return result;
}

}  // namespace baleen
