#include "experiments/stacking/two_level.h"

#include <ATen/ATen.h>

#include "core/base/error.h"

namespace baleen {
namespace {

constexpr double kLeastProbability = 1e-6;

using Check = std::function<void()>;

at::Tensor to_double(const at::Tensor& values) {
  return values.detach().to(at::kCPU, at::kDouble).contiguous();
}

at::Tensor level1_input(const at::Tensor& probabilities, const StackOptions& options) {
  if (options.inputs == "probabilities") return probabilities;
  return at::logit(probabilities, kLeastProbability);
}

/// Row numbers of each fold, and of all others.
struct FoldRows {
  std::vector<at::Tensor> inside_K, outside_K;
};

FoldRows split_rows(const StackInput& input) {
  int64_t num_folds = 0;
  for (size_t i = 0; i < input.folds.size(); ++i) {
    if (input.folds[i] < 0) {
      throw Error(ErrorKind::kData, fmt::format("stack: sample {} has no fold", input.ids[i]));
    }
    num_folds = std::max(num_folds, input.folds[i] + 1);
  }
  FoldRows rows;
  for (int64_t fold = 0; fold < num_folds; ++fold) {
    std::vector<int64_t> inside, outside;
    for (size_t i = 0; i < input.folds.size(); ++i) {
      (input.folds[i] == fold ? inside : outside).push_back(static_cast<int64_t>(i));
    }
    if (inside.empty() || outside.empty()) {
      throw Error(ErrorKind::kData,
                  fmt::format("stack: fold {} of {} holds {} of {} samples", fold, num_folds,
                              inside.size(), input.folds.size()),
                  "stacking needs at least two folds, each with samples");
    }
    rows.inside_K.push_back(at::tensor(inside, at::kLong));
    rows.outside_K.push_back(at::tensor(outside, at::kLong));
  }
  return rows;
}

void check_shapes(const StackInput& input) {
  const auto num_models = static_cast<int64_t>(input.models.size());
  const auto num_labels = static_cast<int64_t>(input.labels.size());
  const auto num_samples = static_cast<int64_t>(input.ids.size());
  const auto num_tests = static_cast<int64_t>(input.test_ids.size());
  const auto expect = [](const char* what, const at::Tensor& values, std::vector<int64_t> shape) {
    if (values.defined() && values.sizes() == at::IntArrayRef(shape)) return;
    throw Error(ErrorKind::kData, fmt::format("stack: {} has shape {} instead of {}", what,
                                              values.defined() ? c10::str(values.sizes()) : "none",
                                              c10::str(at::IntArrayRef(shape))));
  };
  if (num_models < 1 || num_labels < 1 || num_samples < 1) {
    throw Error(ErrorKind::kData, fmt::format("stack: {} models, {} labels and {} samples",
                                              num_models, num_labels, num_samples));
  }
  if (input.folds.size() != input.ids.size()) {
    throw Error(ErrorKind::kData, fmt::format("stack: {} folds for {} samples", input.folds.size(),
                                              input.ids.size()));
  }
  expect("the table of out-of-fold predictions", input.oof_MNL,
         {num_models, num_samples, num_labels});
  expect("the table of targets", input.targets_NL, {num_samples, num_labels});
  if (num_tests > 0) {
    expect("the table of test predictions", input.test_MTL, {num_models, num_tests, num_labels});
  }
}

/// Models to keep, once every value of every kept model is known to be finite.
std::vector<int64_t> complete_models(const StackInput& input, const at::Tensor& oof_MNL,
                                     const FoldRows& rows, const StackOptions& options) {
  std::vector<int64_t> kept;
  for (size_t m = 0; m < input.models.size(); ++m) {
    const at::Tensor good_N = at::isfinite(oof_MNL[static_cast<int64_t>(m)]).all(1);
    bool complete = true;
    for (size_t k = 0; k < rows.inside_K.size() && complete; ++k) {
      const at::Tensor values = oof_MNL[static_cast<int64_t>(m)].index_select(0, rows.inside_K[k]);
      if (!at::isnan(values).all().item<bool>()) continue;
      complete = false;
      if (options.missing_models == "refuse") {
        throw Error(
            ErrorKind::kData,
            fmt::format("stack: model {} has no predictions for fold {}", input.models[m], k),
            "finish that chain (resume the run), or set stack.missing_models to drop");
      }
    }
    if (!complete) continue;
    const at::Tensor bad = at::nonzero(good_N.logical_not());
    if (bad.size(0) > 0) {
      throw Error(
          ErrorKind::kNumeric,
          fmt::format("stack: the prediction of model {} for sample {} is not finite",
                      input.models[m], input.ids[static_cast<size_t>(bad[0][0].item<int64_t>())]),
          "its training diverged: look at the model's curves");
    }
    kept.push_back(static_cast<int64_t>(m));
  }
  if (kept.empty()) {
    throw Error(ErrorKind::kData, "stack: no model has predictions for every fold",
                "finish the chains (resume the run)");
  }
  return kept;
}

void check_test(const StackInput& input, const at::Tensor& test_MTL) {
  const at::Tensor bad = at::nonzero(at::isfinite(test_MTL).logical_not());
  if (bad.size(0) == 0) return;
  throw Error(ErrorKind::kNumeric,
              fmt::format("stack: the prediction of model {} for test sample {} is not finite",
                          input.models[static_cast<size_t>(bad[0][0].item<int64_t>())],
                          input.test_ids[static_cast<size_t>(bad[0][1].item<int64_t>())]),
              "its training diverged: look at the model's curves");
}

void check_targets(const StackInput& input, const at::Tensor& targets_NL) {
  const at::Tensor bad = at::nonzero(((targets_NL == 0) | (targets_NL == 1)).logical_not());
  if (bad.size(0) == 0) return;
  throw Error(ErrorKind::kData,
              fmt::format("stack: the target of sample {}, label {} is neither 0 nor 1",
                          input.ids[static_cast<size_t>(bad[0][0].item<int64_t>())],
                          input.labels[static_cast<size_t>(bad[0][1].item<int64_t>())]));
}

std::vector<RidgeModel> fit_level1(const at::Tensor& p_MNL, const at::Tensor& y_NL,
                                   const at::Tensor& rows, const StackOptions& options,
                                   const Check& check) {
  std::vector<RidgeModel> models;
  const at::Tensor targets_NL = y_NL.index_select(0, rows);
  for (int64_t m = 0; m < p_MNL.size(0); ++m) {
    check();
    const RidgeProblem problem(p_MNL[m].index_select(0, rows), targets_NL);
    models.push_back(problem.fit(problem.choose_alphas(options.alphas, options.alpha_per_label)));
  }
  return models;
}

/// Level-1 output for the rows of p_MNL, [M, N, L].
at::Tensor apply_level1(const StackFit& fit, const at::Tensor& p_MNL) {
  std::vector<at::Tensor> outputs;
  for (int64_t m = 0; m < p_MNL.size(0); ++m) {
    outputs.push_back(predict(fit.level1_M[static_cast<size_t>(m)], p_MNL[m]));
  }
  return at::stack(outputs);
}

std::vector<RidgeModel> fit_level2(const at::Tensor& q_MNL, const at::Tensor& y_NL,
                                   const at::Tensor& rows, const StackOptions& options,
                                   const Check& check) {
  std::vector<RidgeModel> models;
  for (int64_t l = 0; l < y_NL.size(1); ++l) {
    check();
    const RidgeProblem problem(q_MNL.select(2, l).index_select(1, rows).t(),
                               y_NL.select(1, l).index_select(0, rows).unsqueeze(1));
    models.push_back(problem.fit(problem.choose_alphas(options.alphas, true)));
  }
  return models;
}

/// Level-2 output [N, L]; labels without anything learnt as the options say.
at::Tensor apply_level2(const StackFit& fit, const at::Tensor& q_MNL,
                        const at::Tensor& probabilities_MNL, const StackOptions& options) {
  std::vector<at::Tensor> columns;
  for (int64_t l = 0; l < q_MNL.size(2); ++l) {
    const auto label = static_cast<size_t>(l);
    if (fit.constant_L[label] && options.constant_labels == "mean") {
      columns.push_back(probabilities_MNL.select(2, l).mean(0));
    } else {
      columns.push_back(predict(fit.level2_L[label], q_MNL.select(2, l).t()).squeeze(1));
    }
  }
  const at::Tensor z_NL = at::stack(columns, 1);
  return options.clip ? z_NL.clamp(0, 1) : z_NL;
}

std::vector<bool> constant_columns(const at::Tensor& y_NL, const at::Tensor& rows) {
  const at::Tensor chosen_NL = y_NL.index_select(0, rows);
  std::vector<bool> constant;
  for (int64_t l = 0; l < y_NL.size(1); ++l) {
    const at::Tensor column = chosen_NL.select(1, l);
    constant.push_back((column == column[0]).all().item<bool>());
  }
  return constant;
}

std::vector<ConstantLabel> find_constant_labels(const at::Tensor& y_NL, const FoldRows& rows) {
  std::vector<ConstantLabel> found;
  const std::vector<bool> everywhere = constant_columns(y_NL, at::arange(y_NL.size(0)));
  for (size_t l = 0; l < everywhere.size(); ++l) {
    const auto label = static_cast<int64_t>(l);
    if (everywhere[l]) found.push_back({label, -1, y_NL[0][label].item<double>()});
  }
  for (size_t k = 0; k < rows.outside_K.size(); ++k) {
    const std::vector<bool> here = constant_columns(y_NL, rows.outside_K[k]);
    for (size_t l = 0; l < here.size(); ++l) {
      if (!here[l] || everywhere[l]) continue;
      const auto label = static_cast<int64_t>(l);
      const int64_t row = rows.outside_K[k][0].item<int64_t>();
      found.push_back({label, static_cast<int64_t>(k), y_NL[row][label].item<double>()});
    }
  }
  return found;
}

}  // namespace

StackResult fit_stack(const StackInput& input, const StackOptions& options,
                      const std::function<void()>& check_stop) {
  const Check check = check_stop ? check_stop : [] {};
  check_shapes(input);
  const FoldRows rows = split_rows(input);
  const at::Tensor all_rows = at::arange(static_cast<int64_t>(input.ids.size()));
  const at::Tensor y_NL = to_double(input.targets_NL);
  check_targets(input, y_NL);
  at::Tensor oof_MNL = to_double(input.oof_MNL);

  StackResult result{.options = options, .labels = input.labels};
  const std::vector<int64_t> kept = complete_models(input, oof_MNL, rows, options);
  for (size_t m = 0; m < input.models.size(); ++m) {
    const bool used = std::find(kept.begin(), kept.end(), static_cast<int64_t>(m)) != kept.end();
    (used ? result.models : result.dropped).push_back(input.models[m]);
  }
  const at::Tensor kept_M = at::tensor(kept, at::kLong);
  oof_MNL = oof_MNL.index_select(0, kept_M);
  const at::Tensor p_MNL = level1_input(oof_MNL, options);
  result.constant_labels = find_constant_labels(y_NL, rows);

  // Level 1: the folds in turn are left out of the fit and transformed by it.
  result.level1_oof_MNL = at::zeros_like(p_MNL);
  for (size_t k = 0; k < rows.inside_K.size(); ++k) {
    StackFit fit{.level1_M = fit_level1(p_MNL, y_NL, rows.outside_K[k], options, check),
                 .constant_L = constant_columns(y_NL, rows.outside_K[k])};
    result.level1_oof_MNL.index_copy_(1, rows.inside_K[k],
                                      apply_level1(fit, p_MNL.index_select(1, rows.inside_K[k])));
    result.by_fold_K.push_back(std::move(fit));
  }

  // Level 2, likewise.
  result.oof_NL = at::zeros_like(y_NL);
  std::vector<at::Tensor> weights_KML;
  for (size_t k = 0; k < rows.inside_K.size(); ++k) {
    StackFit& fit = result.by_fold_K[k];
    fit.level2_L = fit_level2(result.level1_oof_MNL, y_NL, rows.outside_K[k], options, check);
    result.oof_NL.index_copy_(
        0, rows.inside_K[k],
        apply_level2(fit, result.level1_oof_MNL.index_select(1, rows.inside_K[k]),
                     oof_MNL.index_select(1, rows.inside_K[k]), options));
    std::vector<at::Tensor> columns_L;
    for (const RidgeModel& model : fit.level2_L) columns_L.push_back(model.weights_DK.squeeze(1));
    weights_KML.push_back(at::stack(columns_L, 1));
  }
  result.weights_ML = at::stack(weights_KML).mean(0);

  if (options.test == "refit") {
    result.refit =
        StackFit{.level1_M = fit_level1(p_MNL, y_NL, all_rows, options, check),
                 .level2_L = fit_level2(result.level1_oof_MNL, y_NL, all_rows, options, check),
                 .constant_L = constant_columns(y_NL, all_rows)};
  }
  if (input.test_ids.empty()) return result;
  at::Tensor test_MTL = to_double(input.test_MTL);
  StackInput used = input;
  used.models = result.models;
  test_MTL = test_MTL.index_select(0, kept_M);
  check_test(used, test_MTL);
  const at::Tensor test_input_MTL = level1_input(test_MTL, options);
  const auto transform = [&](const StackFit& fit) {
    return apply_level2(fit, apply_level1(fit, test_input_MTL), test_MTL, options);
  };
  if (result.refit) {
    result.test_TL = transform(*result.refit);
    return result;
  }
  std::vector<at::Tensor> of_fold_KTL;
  for (const StackFit& fit : result.by_fold_K) of_fold_KTL.push_back(transform(fit));
  result.test_TL = at::stack(of_fold_KTL).mean(0);
  return result;
}

}  // namespace baleen
