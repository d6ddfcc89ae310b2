#include "experiments/metric/finish_metric.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>
#include <utility>

#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "core/clustering/kmeans.h"
#include "core/metrics/retrieval.h"
#include "experiments/chain_predictions.h"
#include "experiments/classification_chain.h"
#include "experiments/finish_run.h"
#include "experiments/label_task.h"
#include "experiments/metric/pair_retrieval.h"
#include "experiments/task_results.h"

namespace baleen {
namespace {

constexpr int64_t kClusteringIterations = 25;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// One model's scores on one fold.
struct FoldScores : RetrievalScores {
  /// Normalised, of individuals and as many clusters of the embeddings; NaN: there are none.
  double mutual_information = kNaN;
};

/// Of one model, or of all of them fused.
struct ModelScores {
  std::string name;
  std::vector<FoldScores> by_fold;

  /// 0 where no fold was judged; NaN where nothing was clustered.
  double mean(double FoldScores::*value) const {
    double sum = 0, weight = 0;
    for (const FoldScores& fold : by_fold) {
      if (fold.num_queries == 0 || std::isnan(fold.*value)) continue;
      sum += fold.*value * static_cast<double>(fold.num_queries);
      weight += static_cast<double>(fold.num_queries);
    }
    if (weight > 0) return sum / weight;
    return value == &FoldScores::mutual_information ? kNaN : 0.0;
  }
};

/// How alike a fold's images are, for one model or all. `images` are positions in the data.
using FoldScoring = std::function<ScoreRows(int64_t fold, const at::Tensor& images)>;

/// Cosines; those of several models, each of unit length, add up.
FoldScoring by_cosine(const at::Tensor& embeddings_ND) {
  return [embeddings_ND](int64_t, const at::Tensor& images) -> ScoreRows {
    const at::Tensor own = embeddings_ND.index_select(0, images).to(at::kDouble);
    const at::Tensor units = own / own.norm(2, 1, /*keepdim=*/true).clamp_min(1e-12);
    return [units](int64_t first, int64_t count) {
      return units.narrow(0, first, count).matmul(units.t());
    };
  };
}

/// The score that each chain's own head gives to pairs of its features; the mean of several models.
FoldScoring by_heads(const std::vector<size_t>& models, const PreparedRun& run,
                     const RunDirectory& directory, const OofData& data) {
  return [&, models](int64_t fold, const at::Tensor& images) -> ScoreRows {
    std::vector<std::pair<PairScores, at::Tensor>> heads;
    for (const ChainSpec& chain : run.plan.chains) {
      if (chain.fold != fold) continue;
      for (const size_t m : models) {
        if (data.models[m] != model_name(run.recipe, chain)) continue;
        const auto file = ChainFiles(directory.chain(chain.name)).weights();
        const auto head = read_pair_head(SafetensorsFile(file), file.string());
        if (!head)
          throw Error(ErrorKind::kData, fmt::format("{} has no head for pairs", file.string()));
        PairScores scores(*head);
        const at::Tensor features =
            data.oof_MNK[static_cast<int64_t>(m)].index_select(0, images).narrow(
                1, 0, scores.num_features());
        heads.emplace_back(std::move(scores), features.contiguous());
      }
    }
    return [heads = std::move(heads)](int64_t first, int64_t count) {
      // One model's logits tell apart what is near 1; several are comparable as probabilities.
      if (heads.size() == 1)
        return heads[0].first.logits(heads[0].second.narrow(0, first, count), heads[0].second);
      at::Tensor sum;
      for (const auto& [scores, features] : heads) {
        const at::Tensor one =
            at::sigmoid(scores.logits(features.narrow(0, first, count), features).to(at::kDouble));
        sum = sum.defined() ? sum + one : one;
      }
      return sum;
    };
  };
}

/// How well clusters of the embeddings are the individuals.
double clustered_like(const at::Tensor& embeddings_ND, const std::vector<int64_t>& labels) {
  const auto num_ids = std::ssize(std::set<int64_t>(labels.begin(), labels.end()));
  if (num_ids < 2) return kNaN;
  KMeansOptions options;
  options.clusters = num_ids;
  options.iterations = kClusteringIterations;
  return normalized_mutual_information(kmeans(embeddings_ND, options).clusters, labels);
}

/// @param embeddings_ND what lies close together for one individual; undefined: nothing does
ModelScores scores_of(const std::string& name, const FoldScoring& scoring,
                      const at::Tensor& embeddings_ND, const PreparedRun& run,
                      const OofData& data) {
  ModelScores scores{name, {}};
  // Two unknown individuals are not the same one: their images neither ask nor answer.
  const TaskSection& task = run.recipe.task;
  const int64_t left_out = task.unknown_as == "drop" ? unknown_class(task, *run.dataset) : -1;
  for (int64_t fold = 0; fold < data.num_folds; ++fold) {
    std::vector<int64_t> positions, labels;
    for (size_t i = 0; i < data.folds.size(); ++i) {
      if (data.folds[i] != fold) continue;
      const int64_t label = run.dataset->class_index(run.dataset->row_of(data.ids[i]));
      if (label == left_out) continue;
      positions.push_back(static_cast<int64_t>(i));
      labels.push_back(label);
    }
    const at::Tensor images = at::tensor(positions, at::kLong);
    scores.by_fold.push_back(
        {retrieval_by_pairs(scoring(fold, images), labels, /*group=*/nullptr, {})});
    if (embeddings_ND.defined())
      scores.by_fold.back().mutual_information =
          clustered_like(embeddings_ND.index_select(0, images), labels);
  }
  return scores;
}

std::vector<ModelScores> score_all(const PreparedRun& run, const RunDirectory& directory,
                                   const OofData& data) {
  const bool siamese = run.recipe.task.kind == "siamese";
  std::vector<ModelScores> all;
  std::vector<size_t> models(data.models.size());
  std::iota(models.begin(), models.end(), size_t{0});
  for (const size_t m : models) {
    const at::Tensor own = siamese ? at::Tensor() : data.oof_MNK[static_cast<int64_t>(m)];
    const FoldScoring scoring = siamese ? by_heads({m}, run, directory, data) : by_cosine(own);
    all.push_back(scores_of(data.models[m], scoring, own, run, data));
  }
  if (models.size() < 2) return all;
  // Side by side, embeddings of unit length have the sum of the models' cosines.
  const at::Tensor together =
      siamese ? at::Tensor() : data.oof_MNK.transpose(0, 1).reshape({data.oof_MNK.size(1), -1});
  const FoldScoring fused = siamese ? by_heads(models, run, directory, data) : by_cosine(together);
  all.push_back(scores_of("all models", fused, together, run, data));
  return all;
}

std::string print_scores(const std::vector<ModelScores>& scores) {
  size_t width = 12;
  for (const ModelScores& model : scores) width = std::max(width, model.name.size());
  std::string text;
  const auto print = [&](const char* title, double FoldScores::*value) {
    text += fmt::format("{:<{}}", title, width);
    for (size_t k = 0; k < scores[0].by_fold.size(); ++k)
      text += fmt::format("  {:>7}", fmt::format("fold {}", k));
    text += fmt::format("  {:>7}\n", "all");
    for (const ModelScores& model : scores) {
      text += fmt::format("{:<{}}", model.name, width);
      for (const FoldScores& fold : model.by_fold)
        text += fold.num_queries > 0 ? fmt::format("  {:>7.4f}", fold.*value)
                                     : fmt::format("  {:>7}", "-");
      text += fmt::format("  {:>7.4f}\n", model.mean(value));
    }
  };
  print("recall@1", &RetrievalScores::recall_at_1);
  print("mAP@5", &RetrievalScores::map_at_5);
  print("recall@2", &RetrievalScores::recall_at_2);
  print("recall@4", &RetrievalScores::recall_at_4);
  print("recall@8", &RetrievalScores::recall_at_8);
  if (!std::isnan(scores[0].mean(&FoldScores::mutual_information)))
    print("NMI", &FoldScores::mutual_information);
  return text;
}

std::string scores_json(const std::vector<ModelScores>& scores) {
  nlohmann::ordered_json json = {{"metric", "map_at_5"}, {"candidates", nlohmann::json::array()}};
  for (const ModelScores& model : scores) {
    using Json = nlohmann::ordered_json;
    Json recall = Json::array(), map = Json::array();
    for (const FoldScores& fold : model.by_fold) {
      const bool judged = fold.num_queries > 0;
      recall.push_back(judged ? Json(fold.recall_at_1) : Json());
      map.push_back(judged ? Json(fold.map_at_5) : Json());
    }
    const double mutual_information = model.mean(&FoldScores::mutual_information);
    json["candidates"].push_back(
        {{"name", model.name},
         {"score_by_fold", map},
         {"oof_score", model.mean(&RetrievalScores::map_at_5)},
         {"recall_at_1_by_fold", recall},
         {"recall_at_1", model.mean(&RetrievalScores::recall_at_1)},
         {"recall_at_2", model.mean(&RetrievalScores::recall_at_2)},
         {"recall_at_4", model.mean(&RetrievalScores::recall_at_4)},
         {"recall_at_8", model.mean(&RetrievalScores::recall_at_8)},
         {"mutual_information",
          std::isnan(mutual_information) ? Json() : Json(mutual_information)}});
  }
  return json.dump(2) + "\n";
}

/// Of the chains' tables: siamese networks of several backbones differ.
int64_t most_columns(const PreparedRun& run, const RunDirectory& directory) {
  if (run.recipe.task.kind != "siamese") return run.task->num_outputs();
  int64_t most = 0;
  for (const ChainSpec& chain : run.plan.chains)
    most = std::max(
        most,
        PredictionTable::read(ChainFiles(directory.chain(chain.name)).held_out()).num_columns());
  return most;
}

/// The table with zeros at its right.
PredictionTable widened(const PredictionTable& table, int64_t num_columns) {
  if (table.num_columns() == num_columns) return table;
  PredictionTable wide(table.name(), table.ids(), num_columns);
  wide.add(table.ids(),
           at::constant_pad_nd(table.values(), {0, num_columns - table.num_columns()}));
  return wide;
}

}  // namespace

std::string finish_metric(const PreparedRun& run, const RunDirectory& directory, Journal& journal,
                          const CheckStop& check_stop) {
  OofData data;
  journalled_step(journal, directory, "assembly", {directory.oof()}, [&] {
    std::vector<std::string> columns;
    for (int64_t i = 0; i < most_columns(run, directory); ++i)
      columns.push_back(fmt::format("e{}", i));
    data = assemble_predictions(
        run, directory, columns,
        [&](const PredictionTable& table, const ChainSpec&, const PackedDataset&) {
          check_stop();
          return widened(table, std::ssize(columns));
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
    scores = score_all(run, directory, data);
    std::filesystem::create_directories(directory.stack());
    write_file_atomically(directory.stack() / "scores.json", scores_json(scores));
  });
  journalled_step(journal, directory, "records", {directory.metrics_csv()},
                  [&] { merge_metrics(run, directory); });
  return print_scores(scores);
}

}  // namespace baleen
