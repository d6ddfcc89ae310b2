#include "experiments/chain_predictions.h"

#include <ATen/ATen.h>

#include "core/metrics/metrics.h"
#include "experiments/collective.h"

namespace baleen {

PredictionTable predict_rows(Backbone& network, const Loss& loss, const PredictionJob& job,
                             Communicator& group) {
  std::vector<std::string> ids;
  ids.reserve(job.rows.size());
  for (int64_t row : job.rows) ids.push_back(job.dataset->id(row));

  PredictionTable table(job.name, ids, job.num_outputs);
  agreed(group, [&] {
    PredictionFeedOptions feed;
    const int64_t chunks = num_chunks(static_cast<int64_t>(job.rows.size()), job.chunk);
    feed.chunk = job.chunk;
    feed.first_chunk = chunks * group.rank() / group.size();
    feed.last_chunk = chunks * (group.rank() + 1) / group.size();
    feed.image = job.image;
    if (feed.first_chunk == feed.last_chunk) return;
    feed.random_passes = job.looks.random_passes;
    feed.augment = job.looks.augment;
    feed.custom = job.looks.custom;
    feed.augment_on_device = job.looks.augment_on_device;
    feed.seed = job.looks.seed;
    std::vector<int64_t> sizes_px = job.looks.sizes_px;
    if (sizes_px.empty()) sizes_px.push_back(job.image.size_px);
    std::vector<std::unique_ptr<BatchSource>> sources;
    std::vector<LookSource> looks;
    for (int64_t size_px : sizes_px) {
      feed.image.size_px = size_px;
      sources.push_back(make_prediction_source(job.dataset, job.rows, feed));
      looks.push_back({sources.back().get(), job.looks.views});
    }
    predict(
        network, loss, looks, job.looks.fusion, job.precision,
        [&](const std::vector<int64_t>& rows, const at::Tensor& probabilities_NK) {
          std::vector<std::string> batch_ids;
          for (int64_t row : rows) batch_ids.push_back(job.dataset->id(row));
          table.add(batch_ids, probabilities_NK);
        },
        job.stop);
  });
  if (group.size() == 1) {
    table.check_complete();
    return table;
  }
  PredictionTable whole(job.name, ids, job.num_outputs);
  for (const std::string& part : group.all_gather(table.serialise()))
    whole.merge(PredictionTable::deserialise(part));
  whole.check_complete();
  return whole;
}

at::Tensor targets_of(const PackedDataset& dataset, const std::vector<int64_t>& rows) {
  const int64_t n = static_cast<int64_t>(rows.size());
  switch (dataset.target_kind()) {
    case TargetKind::kSingleClass: {
      at::Tensor targets = at::empty({n}, at::kLong);
      auto cells = targets.accessor<int64_t, 1>();
      for (int64_t i = 0; i < n; ++i) cells[i] = dataset.class_index(rows[static_cast<size_t>(i)]);
      return targets;
    }
    case TargetKind::kMultiLabel: {
      const int64_t num_labels = static_cast<int64_t>(dataset.label_names().size());
      at::Tensor targets = at::empty({n, num_labels}, at::kFloat);
      auto cells = targets.accessor<float, 2>();
      for (int64_t i = 0; i < n; ++i) {
        const auto labels = dataset.labels(rows[static_cast<size_t>(i)]);
        for (int64_t l = 0; l < num_labels; ++l)
          cells[i][l] = static_cast<float>(labels[static_cast<size_t>(l)]);
      }
      return targets;
    }
    case TargetKind::kNone:
      return {};
  }
  return {};
}

std::map<std::string, double> validation_metrics(const at::Tensor& predictions_NK,
                                                 const at::Tensor& targets, TargetKind kind) {
  constexpr double kUsualThreshold = 0.2;
  constexpr double kBeta = 2.0;
  switch (kind) {
    case TargetKind::kSingleClass:
      return {{"loss", class_log_loss(targets, predictions_NK)},
              {"accuracy", accuracy(targets, predictions_NK)}};
    case TargetKind::kMultiLabel:
      return {{"loss", binary_log_loss(targets, predictions_NK)},
              {"f2", sample_f_beta(targets, predictions_NK > kUsualThreshold, kBeta)}};
    case TargetKind::kNone:
      return {};
  }
  return {};
}

const char* main_metric(TargetKind kind) {
  return kind == TargetKind::kMultiLabel ? "f2" : "accuracy";
}

}  // namespace baleen
