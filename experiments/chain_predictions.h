#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/losses/loss.h"
#include "core/nn/backbone.h"
#include "core/training/precision.h"
#include "core/training/predictor.h"
#include "data/loader.h"
#include "data/packed_dataset.h"
#include "data/prediction_table.h"
#include "data/sample_table.h"
#include "distributed/communicator.h"

namespace baleen {

/// Test-time augmentation: the looks that are fused into one prediction.
struct TestTimeLooks {
  std::vector<View> views;        ///< at each size; empty: the images themselves
  std::vector<int64_t> sizes_px;  ///< empty: PredictionJob::image's
  int64_t random_passes = 0;      ///< at each size, beside the views
  AugmentOptions augment;         ///< of the random passes
  std::vector<AugmentationStep> custom;
  bool augment_on_device = false;
  uint64_t seed = 0;  ///< of the random passes
  Fusion fusion = Fusion::kMean;
};

/// What to predict and how.
struct PredictionJob {
  std::string name;  ///< whose predictions, for messages: "resnet18-f2-s1, held-out fold"
  std::shared_ptr<const SampleTable> dataset;
  std::vector<int64_t> rows;
  int64_t num_outputs = 0;
  int64_t chunk = 64;
  ImageFeedOptions image;
  Precision precision = Precision::kFloat32;
  TestTimeLooks looks;
  std::function<bool()> stop;  ///< a signal arrived; may be empty
  /// Hears which share of the rows is predicted, in [0, 1], after each chunk of this rank; may be
  /// empty.
  std::function<void(double)> told;
  /// Where to keep what is predicted so far, under which name and for which network; empty:
  /// nowhere.
  std::filesystem::path parts;
  std::string parts_name;
  std::string identity;
};

/// [collective] Predicts the rows, in fixed chunks that are spread over the group's ranks; every
/// rank returns the whole table. Chunks that an earlier start has kept are not predicted again.
/// @throws Error kData, kNumeric naming the sample; kInterrupted on all ranks; PeerFailed.
PredictionTable predict_rows(Backbone& network, const Loss& loss, const PredictionJob& job,
                             Communicator& group);

/// Targets of the rows: float32 [N, L] for multi-label data, int64 [N] for classes. Undefined
/// without targets.
at::Tensor targets_of(const PackedDataset& dataset, const std::vector<int64_t>& rows);

/// The metrics of an epoch or a finished chain: "loss" (log loss) and "accuracy" for classes,
/// "loss" and "f2" (per sample, at threshold 0.2) for labels.
std::map<std::string, double> validation_metrics(const at::Tensor& predictions_NK,
                                                 const at::Tensor& targets, TargetKind kind);

/// The one that model selection goes by: "accuracy" or "f2". Larger is better.
const char* main_metric(TargetKind kind);

}  // namespace baleen
