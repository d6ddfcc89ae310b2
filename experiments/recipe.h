#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/config/document.h"
#include "core/config/field.h"
#include "core/losses/loss.h"
#include "core/optim/ema.h"
#include "core/optim/optimizer.h"
#include "core/optim/schedule.h"
#include "core/training/early_stopping.h"
#include "data/augment/augment.h"
#include "data/augment/normalise.h"
#include "data/folds.h"
#include "experiments/metric/metric_section.h"
#include "experiments/siamese/siamese_section.h"
#include "experiments/stacking/thresholds.h"
#include "experiments/stacking/two_level.h"
#include "experiments/sweep/sweep_config.h"
#include "experiments/training_on_top.h"

namespace baleen {

struct Extensions;
struct SweepTrials;

/// One resolution of the progressive training: weights come from the stage before, everything else
/// starts anew.
struct StageOptions {
  int64_t size_px = 64;
  int64_t epochs = 1;
  int64_t batch = 32;
  OptimizerOptions optimizer;
  ScheduleOptions schedule;
  AugmentOptions augment;
  std::optional<LossOptions> loss;  ///< absent: the recipe's
  std::optional<double> dropout;
  std::vector<std::string> freeze;
  std::vector<std::string> unfreeze;
  bool reestimate_batch_norm = false;
  EmaOptions ema;
  EarlyStoppingOptions early_stopping;
  std::vector<PairNoise> pair_noise;
};

/// One model of the ensemble.
struct BackboneSection {
  std::string name;
  std::string label;  ///< empty: the name, and the variant after a hyphen
  std::string variant;
  double dropout = 0.0;
  bool auxiliary = false;
  std::string head = "linear";
  bool coordinates = false;
  bool coordinate_radius = false;
  bool recompute = false;
  std::string weights;
  std::string grey_stem = "luma";
  std::string batch_norm = "local";
  std::optional<int64_t> logical_shards;
  int64_t min_ranks = 1;
  int64_t priority = 0;
  double batch_factor = 1.0;
  std::vector<StageOptions> stages;  ///< empty: the recipe's

  std::string label_or_name() const {
    if (!label.empty()) return label;
    return variant.empty() ? name : name + "-" + variant;
  }
};

/// How stored images become the network's input; the same in training and prediction.
struct ImageSection {
  std::string fit = "stretch";
  NormaliseOptions normalise;
};

struct TrainingSection {
  int64_t logical_shards = 1;
  int64_t accumulate = 1;
  bool channels_last = true;
  std::string precision = "fp32";
  double clip_norm = 0.0;
  int64_t threads_per_rank = 1;
  int64_t loader_threads = 1;
  std::string shuffle = "full";
  int64_t shuffle_window = 65536;
  SamplingSection sampling;
  std::string stage_to;  ///< empty: data are read where they are
  std::string determinism = "strict";
  std::string on_nonfinite = "stop";
  double roll_back_factor = 0.5;
  int64_t roll_back_limit = 3;
  int64_t checkpoint_every_steps = 0;
  double checkpoint_share = 0.01;
  double regroup_gain_s = 5;
  int64_t keep_last = 2;
  bool keep_best = true;
  std::string device = "auto";
  std::string augment_on = "auto";
  bool cuda_graphs = true;
};

struct PredictionSection {
  int64_t chunk = 64;
  std::vector<std::string> tta;
  std::vector<int64_t> tta_sizes_px;
  int64_t tta_random_passes = 0;
  AugmentOptions tta_augment;
  std::string tta_fusion = "mean";
};

struct ReliabilitySection {
  int64_t retries = 1;
  double hang_timeout_s = 12.0;
  int64_t digest_every_steps = 50;
};

/// What is learnt, where it isn't the dataset's own labels.
struct TaskSection {
  std::string kind = "labels";
  std::string boxes_file;
  std::string image_column;
  std::string masks;
  std::string unknown;
  std::string unknown_as = "class";
  bool flip_as_class = false;
};

struct ReportSection {
  int64_t samples = 24;
  bool analysis = true;
  int64_t explanations = 3;
};

/// A whole run: data, models, training, stacking, report. Paths are relative to the working
/// directory.
struct Recipe {
  std::string name = "run";
  std::string run_dir;  ///< empty: `runs/<name>`
  std::vector<std::string> plugins;
  int64_t seed = 1;
  std::vector<int64_t> seeds;  ///< empty: {seed}
  std::string dataset;
  std::string test;  ///< empty: none
  std::vector<ExtraSection> extra;
  std::string corrections;  ///< empty: none
  FoldOptions folds;
  std::vector<BackboneSection> backbones;
  std::vector<StageOptions> stages;
  ImageSection images;
  TaskSection task;
  std::optional<MetricSection> metric;
  std::optional<SiameseSection> siamese;
  LossOptions loss;
  std::optional<DistillationSection> distillation;
  TrainingSection training;
  PredictionSection prediction;
  SnapshotSection snapshots;
  /// A run does not keep back what is finished for a chain that isn't.
  StackOptions stacking = {.missing_models = "drop"};
  ThresholdOptions thresholds;
  ReliabilitySection reliability;
  ReportSection report;
  std::optional<SweepConfig> sweep;  ///< absent: one run of the recipe itself

  /// The trials of `sweep`, each with a recipe of its own; null without one. Of a sweep's recipe
  /// itself, only what no trial changes has a meaning.
  std::shared_ptr<const SweepTrials> trials;

  /// The stages that a backbone goes through: its own, or the recipe's.
  const std::vector<StageOptions>& stages_of(int64_t backbone) const;
  /// What a stage minimises: its own loss, or the recipe's.
  const LossOptions& loss_of(const StageOptions& stage) const;
  /// Sides at which a backbone's chains predict: those of `prediction`, or the last stage's.
  std::vector<int64_t> prediction_sizes_px(int64_t backbone) const;
  /// V of a backbone's chains.
  int64_t logical_shards_of(int64_t backbone) const;
  /// Samples of a global batch: the stage's, times the backbone's factor, at least 1.
  int64_t batch_of(int64_t backbone, int64_t stage) const;
  std::vector<int64_t> chain_seeds() const;
  std::filesystem::path run_directory() const;
};

/// Checks across fields, called by the decoder.
void validate(Recipe& recipe, config::Problems& problems);

/// Decodes a recipe and checks it against the networks, losses and augmentations there are,
/// reporting every mistake at once. The name defaults to the stem of the document's file.
/// @param extensions null: names are not checked, for runs that are only looked at
/// @throws Error kConfiguration, one line per mistake as file:line:column.
Recipe decode_recipe(const config::Document& document, const Extensions* extensions);

/// A file with `--set` assignments applied, decoded without a look at names.
Recipe load_recipe(const std::filesystem::path& file, const std::vector<std::string>& assignments);

/// The same, but names are checked; the recipe's plug-ins are loaded into `extensions` first.
Recipe load_recipe(const std::filesystem::path& file, const std::vector<std::string>& assignments,
                   Extensions& extensions);

/// The keys that influence results, by dotted path ("stages.0.size_px" -> "20"): what a resume must
/// agree with. Left out are places (run_dir, dataset, test, weights, plugins: their contents'
/// digests are compared instead), how fast and how often (loader threads, checkpoints), and
/// reports.
std::map<std::string, std::string> recipe_identity(const Recipe& recipe);

}  // namespace baleen

#include "experiments/recipe_fields.h"
