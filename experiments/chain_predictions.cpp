#include "experiments/chain_predictions.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "core/base/logging.h"
#include "core/metrics/metrics.h"
#include "experiments/collective.h"
#include "experiments/prediction_parts.h"

namespace baleen {

namespace {

/// The rows of the chunks that are not in the table. A chunk is there as a whole or not at all, so
/// that the others keep their composition.
std::vector<int64_t> rows_left(const PredictionJob& job, const PredictionTable& known) {
  std::vector<int64_t> left;
  for (size_t i = 0; i < job.rows.size(); ++i) {
    const size_t first_of_chunk = i - i % static_cast<size_t>(job.chunk);
    if (!known.has(job.dataset->id(job.rows[first_of_chunk]))) left.push_back(job.rows[i]);
  }
  return left;
}

/// Predicts this rank's chunks of the rows.
void predict_share(
    Backbone& network, const Loss& loss, const PredictionJob& job, const std::vector<int64_t>& rows,
    const Communicator& group,
    const std::function<void(const std::vector<std::string>&, const at::Tensor&)>& keep) {
  PredictionFeedOptions feed;
  const int64_t chunks = num_chunks(static_cast<int64_t>(rows.size()), job.chunk);
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
    sources.push_back(make_prediction_source(job.dataset, rows, feed));
    looks.push_back({sources.back().get(), job.looks.views});
  }
  predict(
      network, loss, looks, job.looks.fusion, job.precision,
      [&](const std::vector<int64_t>& predicted, const at::Tensor& probabilities_NK) {
        std::vector<std::string> ids;
        for (int64_t row : predicted) ids.push_back(job.dataset->id(row));
        keep(ids, probabilities_NK);
      },
      job.stop);
}

}  // namespace

PredictionTable predict_rows(Backbone& network, const Loss& loss, const PredictionJob& job,
                             Communicator& group) {
  const auto ids_of = [&job](const std::vector<int64_t>& rows) {
    std::vector<std::string> ids;
    ids.reserve(rows.size());
    for (int64_t row : rows) ids.push_back(job.dataset->id(row));
    return ids;
  };
  PredictionParts parts(job.parts, job.parts_name, job.identity);
  PredictionTable whole =
      parts.load(PredictionTable(job.name, ids_of(job.rows), job.num_outputs), group);
  const int64_t known = whole.num_written();
  const std::vector<int64_t> rows = known == 0 ? job.rows : rows_left(job, whole);
  if (known > 0)
    log_info("{}: {} of {} rows were predicted by an earlier start", job.name, known,
             job.rows.size());

  PredictionTable table(job.name, ids_of(rows), job.num_outputs);
  try {
    agreed(group, [&] {
      predict_share(network, loss, job, rows, group,
                    [&](const std::vector<std::string>& ids, const at::Tensor& probabilities_NK) {
                      table.add(ids, probabilities_NK);
                      if (job.told) {
                        // Ranks have equal shares, and are equally far.
                        const int64_t here = table.num_written() * group.size();
                        job.told(std::min(1.0, static_cast<double>(known + here) /
                                                   static_cast<double>(job.rows.size())));
                      }
                      parts.keep_now_and_then(table, group, known);
                    });
      parts.keep_if_long(table, group, known);
    });
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kInterrupted) parts.keep(table, group, known);
    throw;
  }
  if (group.size() == 1) {
    whole.merge(table);
  } else {
    for (const std::string& part : group.all_gather(table.serialise()))
      whole.merge(PredictionTable::deserialise(part));
  }
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
