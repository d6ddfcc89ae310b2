#include "experiments/stacking/save_stack.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "data/pack/csv.h"

namespace baleen {
namespace {

using Json = nlohmann::ordered_json;

std::vector<double> numbers(const at::Tensor& values) {
  const at::Tensor dense = values.contiguous();
  const double* first = dense.const_data_ptr<double>();
  return {first, first + dense.numel()};
}

Json matrix(const at::Tensor& values_RC) {
  Json rows = Json::array();
  for (int64_t r = 0; r < values_RC.size(0); ++r) rows.push_back(numbers(values_RC[r]));
  return rows;
}

Json fit_to_json(const StackFit& fit, const StackResult& result) {
  Json level1 = Json::object();
  for (size_t m = 0; m < fit.level1_M.size(); ++m) {
    const RidgeModel& model = fit.level1_M[m];
    level1[result.models[m]] = {{"alphas", model.alphas_K},
                                {"intercepts", numbers(model.intercept_K)},
                                {"weights", matrix(model.weights_DK)}};
  }
  Json level2 = Json::object();
  for (size_t l = 0; l < fit.level2_L.size(); ++l) {
    const RidgeModel& model = fit.level2_L[l];
    level2[result.labels[l]] = {{"alpha", model.alphas_K[0]},
                                {"intercept", numbers(model.intercept_K)[0]},
                                {"weights", numbers(model.weights_DK.squeeze(1))},
                                {"constant", bool(fit.constant_L[l])}};
  }
  return {{"level1", level1}, {"level2", level2}};
}

}  // namespace

std::string scores_to_csv(const std::string& id_heading, const std::vector<std::string>& ids,
                          const std::vector<int64_t>* folds, const std::vector<std::string>& labels,
                          const at::Tensor& scores) {
  std::string text = csv_field(id_heading);
  if (folds) text += ",fold";
  for (const std::string& label : labels) text += ',' + csv_field(label);
  text += '\n';
  const at::Tensor dense = scores.to(at::kDouble).contiguous();
  const double* value = dense.const_data_ptr<double>();
  for (size_t i = 0; i < ids.size(); ++i) {
    text += csv_field(ids[i]);
    if (folds) text += fmt::format(",{}", (*folds)[i]);
    for (size_t l = 0; l < labels.size(); ++l) text += fmt::format(",{}", *value++);
    text += '\n';
  }
  return text;
}

void remove_earlier(const std::filesystem::path& file) {
  std::error_code code;
  std::filesystem::remove(file, code);
  if (code) {
    throw Error(ErrorKind::kStorage, fmt::format("{} of an earlier stack can't be removed: {}",
                                                 file.string(), code.message()));
  }
}

void save_scores(const StackInput& input, const at::Tensor& oof_NL, const at::Tensor& test_TL,
                 const std::filesystem::path& directory) {
  std::error_code code;
  std::filesystem::create_directories(directory, code);
  if (code) {
    throw Error(ErrorKind::kStorage,
                fmt::format("folder {} can't be made: {}", directory.string(), code.message()));
  }
  remove_earlier(directory / "stack.json");
  write_file_atomically(directory / "oof.csv",
                        scores_to_csv("id", input.ids, &input.folds, input.labels, oof_NL));
  if (test_TL.defined()) {
    write_file_atomically(directory / "test.csv",
                          scores_to_csv("id", input.test_ids, nullptr, input.labels, test_TL));
  } else {
    remove_earlier(directory / "test.csv");
  }
}

void save_fits(const StackResult& result, const std::filesystem::path& directory) {
  const StackOptions& options = result.options;
  Json folds = Json::array();
  for (const StackFit& fit : result.by_fold_K) folds.push_back(fit_to_json(fit, result));
  Json constants = Json::array();
  for (const ConstantLabel& constant : result.constant_labels) {
    constants.push_back({{"label", result.labels[static_cast<size_t>(constant.label)]},
                         {"without_fold", constant.fold < 0 ? Json(nullptr) : Json(constant.fold)},
                         {"value", constant.value}});
  }
  Json document = {{"format", "baleen-stack"},
                   {"version", 1},
                   {"options",
                    {{"calibration", options.calibration},
                     {"inputs", options.inputs},
                     {"alphas", options.alphas},
                     {"alpha_per_label", options.alpha_per_label},
                     {"alpha_by", options.alpha_by},
                     {"nested", options.nested},
                     {"test", options.test},
                     {"constant_labels", options.constant_labels},
                     {"missing_models", options.missing_models},
                     {"clip", options.clip}}},
                   {"models", result.models},
                   {"dropped_models", result.dropped},
                   {"labels", result.labels},
                   {"constant_labels", constants},
                   {"mean_level2_weights", matrix(result.weights_ML)},
                   {"without_fold", folds}};
  if (result.refit) document["refit"] = fit_to_json(*result.refit, result);
  write_file_atomically(directory / "stack.json", document.dump(1) + "\n");
}

void save_stack(const StackResult& result, const StackInput& input,
                const std::filesystem::path& directory) {
  save_scores(input, result.oof_NL, result.test_TL, directory);
  save_fits(result, directory);
}

}  // namespace baleen
