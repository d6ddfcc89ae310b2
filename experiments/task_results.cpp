#include "experiments/task_results.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "data/oof_assembly.h"
#include "experiments/classification_chain.h"
#include "experiments/finish_run.h"

namespace baleen {

OofData assemble_predictions(const PreparedRun& run, const RunDirectory& directory,
                             const std::vector<std::string>& columns, const Conversion& convert) {
  std::vector<std::string> test_ids;
  if (run.test)
    for (const int64_t row : run.test->originals()) test_ids.push_back(run.test->id(row));
  FoldSubject subject = run.subject;
  subject.target_kind = TargetKind::kNone;
  subject.label_names = columns;
  OofAssembly assembly(subject, run.folds, model_names(run), test_ids);
  for (const ChainSpec& chain : run.plan.chains) {
    const ChainFiles files(directory.chain(chain.name));
    const std::string model = model_name(run.recipe, chain);
    std::vector<std::string> training_ids;
    for (const int64_t row : run.folds.positions_outside(chain.fold))
      training_ids.push_back(run.dataset->id(row));
    assembly.add(model, chain.fold,
                 convert(PredictionTable::read(files.held_out()), chain, *run.dataset),
                 training_ids);
    if (run.test)
      assembly.add_test(model, chain.fold,
                        convert(PredictionTable::read(files.test()), chain, *run.test));
  }
  OofData data = assembly.finish();
  data.config_hash = run.plan.recipe_hash;
  return data;
}

std::vector<SampleScores> score_samples(
    const OofData& data, const std::function<at::Tensor(const at::Tensor& predictions_NK)>& score) {
  std::vector<SampleScores> all;
  for (size_t m = 0; m < data.models.size(); ++m)
    all.push_back({data.models[m], score(data.oof_MNK[static_cast<int64_t>(m)])});
  if (data.models.size() > 1)
    all.push_back({"mean of models", score(data.oof_MNK.to(at::kDouble).mean(0))});
  return all;
}

FoldScores fold_scores(const SampleScores& scores, const OofData& data) {
  const at::Tensor folds_N = at::tensor(data.folds, at::kLong);
  FoldScores result{scores.name, {}, scores.values_N.mean().item<double>()};
  for (int64_t fold = 0; fold < data.num_folds; ++fold)
    result.by_fold.push_back(scores.values_N.masked_select(folds_N == fold).mean().item<double>());
  return result;
}

std::vector<FoldScores> fold_scores(const std::vector<SampleScores>& scores, const OofData& data) {
  std::vector<FoldScores> all;
  for (const SampleScores& of_model : scores) all.push_back(fold_scores(of_model, data));
  return all;
}

std::string print_iou(const std::vector<FoldScores>& scores) {
  size_t width = 3;
  for (const FoldScores& of_model : scores) width = std::max(width, of_model.name.size());
  std::string text = fmt::format("{:<{}}", "IoU", width);
  for (size_t k = 0; k < scores[0].by_fold.size(); ++k)
    text += fmt::format("  {:>6}", fmt::format("fold {}", k));
  text += fmt::format("  {:>11}\n", "out of fold");
  for (const FoldScores& of_model : scores) {
    text += fmt::format("{:<{}}", of_model.name, width);
    for (const double value : of_model.by_fold) text += fmt::format("  {:>6.4f}", value);
    text += fmt::format("  {:>11.4f}\n", of_model.all);
  }
  return text;
}

std::string iou_json(const std::vector<FoldScores>& scores) {
  nlohmann::ordered_json json = {{"metric", "iou"}, {"candidates", nlohmann::json::array()}};
  for (const FoldScores& of_model : scores)
    json["candidates"].push_back({{"name", of_model.name},
                                  {"score_by_fold", of_model.by_fold},
                                  {"oof_score", of_model.all}});
  return json.dump(2) + "\n";
}

}  // namespace baleen
