#include "experiments/metric/finish_metric.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/base/atomic_file.h"
#include "core/metrics/leave_one_out_retrieval.h"
#include "experiments/chain_predictions.h"
#include "experiments/classification_chain.h"
#include "experiments/finish_run.h"
#include "experiments/task_results.h"

namespace baleen {
namespace {

/// One model's scores on one fold.
struct ModelScores {
  std::string name;
  std::vector<RetrievalScores> by_fold;

  double mean(double RetrievalScores::*value) const {
    double sum = 0, weight = 0;
    for (const RetrievalScores& fold : by_fold) {
      if (fold.num_queries == 0) continue;
      sum += fold.*value * static_cast<double>(fold.num_queries);
      weight += static_cast<double>(fold.num_queries);
    }
    return weight > 0 ? sum / weight : 0.0;
  }
};

/// All models' embeddings side by side: their cosines add up. Each is of unit length.
at::Tensor fused(const at::Tensor& oof_MNK) {
  return oof_MNK.transpose(0, 1).reshape({oof_MNK.size(1), -1});
}

ModelScores scores_of(const std::string& name, const at::Tensor& embeddings_ND,
                      const PreparedRun& run, const OofData& data) {
  ModelScores scores{name, {}};
  for (int64_t fold = 0; fold < data.num_folds; ++fold) {
    std::vector<int64_t> positions, labels;
    for (size_t i = 0; i < data.folds.size(); ++i) {
      if (data.folds[i] != fold) continue;
      positions.push_back(static_cast<int64_t>(i));
      labels.push_back(run.dataset->class_index(run.dataset->row_of(data.ids[i])));
    }
    scores.by_fold.push_back(
        score_retrieval(embeddings_ND.index_select(0, at::tensor(positions, at::kLong)), labels));
  }
  return scores;
}

std::vector<ModelScores> score_all(const PreparedRun& run, const OofData& data) {
  std::vector<ModelScores> all;
  for (size_t m = 0; m < data.models.size(); ++m)
    all.push_back(scores_of(data.models[m], data.oof_MNK[static_cast<int64_t>(m)], run, data));
  if (data.models.size() > 1)
    all.push_back(scores_of("all models", fused(data.oof_MNK), run, data));
  return all;
}

std::string print_scores(const std::vector<ModelScores>& scores) {
  size_t width = 12;
  for (const ModelScores& model : scores) width = std::max(width, model.name.size());
  std::string text;
  const auto print = [&](const char* title, double RetrievalScores::*value) {
    text += fmt::format("{:<{}}", title, width);
    for (size_t k = 0; k < scores[0].by_fold.size(); ++k)
      text += fmt::format("  {:>7}", fmt::format("fold {}", k));
    text += fmt::format("  {:>7}\n", "all");
    for (const ModelScores& model : scores) {
      text += fmt::format("{:<{}}", model.name, width);
      for (const RetrievalScores& fold : model.by_fold)
        text += fold.num_queries > 0 ? fmt::format("  {:>7.4f}", fold.*value)
                                     : fmt::format("  {:>7}", "-");
      text += fmt::format("  {:>7.4f}\n", model.mean(value));
    }
  };
  print("recall@1", &RetrievalScores::recall_at_1);
  print("mAP@5", &RetrievalScores::map_at_5);
  return text;
}

std::string scores_json(const std::vector<ModelScores>& scores) {
  nlohmann::ordered_json json = {{"metric", "map_at_5"}, {"candidates", nlohmann::json::array()}};
  for (const ModelScores& model : scores) {
    using Json = nlohmann::ordered_json;
    Json recall = Json::array(), map = Json::array();
    for (const RetrievalScores& fold : model.by_fold) {
      const bool judged = fold.num_queries > 0;
      recall.push_back(judged ? Json(fold.recall_at_1) : Json());
      map.push_back(judged ? Json(fold.map_at_5) : Json());
    }
    json["candidates"].push_back({{"name", model.name},
                                  {"score_by_fold", map},
                                  {"oof_score", model.mean(&RetrievalScores::map_at_5)},
                                  {"recall_at_1_by_fold", recall},
                                  {"recall_at_1", model.mean(&RetrievalScores::recall_at_1)}});
  }
  return json.dump(2) + "\n";
}

}  // namespace

std::string finish_metric(const PreparedRun& run, const RunDirectory& directory, Journal& journal,
                          const CheckStop& check_stop) {
  std::vector<std::string> columns;
  for (int64_t i = 0; i < run.task->num_outputs(); ++i) columns.push_back(fmt::format("e{}", i));
  OofData data;
  journalled_step(journal, directory, "assembly", {directory.oof()}, [&] {
    data = assemble_predictions(
        run, directory, columns,
        [&](const PredictionTable& table, const ChainSpec&, const PackedDataset&) {
          check_stop();
          return table;
        });
    // Means over folds would mix spaces: each fold's own stay.
    data.test_MTK.reset();
    data.test_ids.clear();
    data.test_folds_MFTK.reset();
    write_oof(directory.oof(), data);
  });
  check_stop();
  std::vector<ModelScores> scores;
  journalled_step(journal, directory, "scores", {}, [&] {
    scores = score_all(run, data);
    std::filesystem::create_directories(directory.stack());
    write_file_atomically(directory.stack() / "scores.json", scores_json(scores));
  });
  journalled_step(journal, directory, "records", {directory.metrics_csv()},
                  [&] { merge_metrics(run, directory); });
  return print_scores(scores);
}

}  // namespace baleen
