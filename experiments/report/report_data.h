#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "data/packed_dataset.h"
#include "experiments/records/metrics_log.h"

namespace baleen {

/// One part of a page, ready as HTML.
struct PageSection {
  std::string id, title, html;
};

/// A name and a value for the tables of settings, e.g. {"optimizer", "SGD, momentum 0.9"}.
using ReportEntry = std::pair<std::string, std::string>;

/// One line of the table of scores: a backbone, the mean of all backbones, or the stack.
struct ReportScores {
  enum class Kind { kModel, kMean, kStack };
  Kind kind = Kind::kModel;
  std::string name;
  std::vector<std::optional<double>>
      folds;                   ///< score on each held-out fold; empty: that chain is not finished
  std::optional<double> oof;   ///< on all out-of-fold predictions at once
  std::optional<double> test;  ///< on a held-out test set with known targets
  std::optional<double> train_seconds;  ///< of all its chains together
};

/// Multi-label data: how well one label is found, out of fold, by the final ensemble.
struct ReportLabel {
  std::string name;
  int64_t positives = 0;
  double threshold = 0;  ///< NaN: the highest of its group is predicted
  double f2 = 0;
  double precision = 0;
  double recall = 0;
};

/// When a rank worked on one stage of a chain. Times are seconds since the run was first started.
struct ReportSpan {
  int rank = 0;
  std::string chain;
  std::string backbone;
  int64_t fold = 0;
  int64_t stage = 0;  ///< from 0
  int64_t size_px = 0;
  double start_s = 0;
  double end_s = 0;
  bool failed = false;  ///< ended by an error or a kill
};

/// Something that happened to the whole run, e.g. "resumed on 3 ranks".
struct ReportMark {
  double time_s = 0;
  std::string text;
};

/// A sample image with what was predicted for it.
struct ReportSample {
  enum class Group { kBest, kWorst, kConfusing };
  Group group = Group::kBest;
  std::string id;
  std::string picture;  ///< as embedded_picture() gives it; empty: there is none
  std::string truth;    ///< true class or labels
  std::string predicted;
  std::string note;  ///< e.g. "p = 0.998" or "F2 0.42"
};

struct ReportFailure {
  std::string what;  ///< chain or step
  std::string kind;  ///< name_of(ErrorKind)
  std::string message;
};

/// One trial of a sweep.
struct ReportTrial {
  enum class State { kFinished, kRunning, kPaused, kStopped, kFailed };
  std::string name;                 ///< "0007"
  std::vector<std::string> values;  ///< by axis
  State state = State::kRunning;
  std::string state_text;       ///< "finished", "paused at rung 1"
  std::optional<double> score;  ///< of ReportSweep::metric
  std::vector<std::optional<double>> folds;
  std::optional<double> oof;    ///< pooled over folds, mean of models
  std::optional<double> stack;  ///< the same of the stack
  double rank_seconds = 0;
  std::string note;  ///< why it was stopped, or has failed
  bool best = false;
};

/// A search over a recipe's keys.
struct ReportSweep {
  struct Axis {
    std::string key;
    bool log = false;
  };
  std::string method;
  std::string metric;
  std::string metric_title;  ///< the metric as headings write it, e.g. "Accuracy"
  bool larger_is_better = true;
  std::vector<Axis> axes;
  std::vector<ReportTrial> trials;  ///< those that were begun
};

/// Everything the report shows. What is empty is left out of the page.
struct ReportData {
  enum class Status { kComplete, kUnfinished, kFailed };

  std::string run_name;
  std::string
      description;  ///< one line, e.g. "5 folds of 2 backbones on 797 images with 17 labels"
  std::string baleen_version;
  std::string started;  ///< as text, e.g. "2026-03-01 12:00 UTC"
  Status status = Status::kUnfinished;
  int64_t chains_planned = 0;
  int64_t chains_finished = 0;
  double wall_seconds = 0;  ///< all sessions together, without the time between them
  int64_t ranks = 0;        ///< of the last session

  std::vector<ReportEntry> summary;      ///< what was configured, in a few lines
  std::vector<ReportEntry> environment;  ///< hardware, software, hashes
  std::string config_yaml;               ///< config.resolved.yaml

  TargetKind target_kind = TargetKind::kSingleClass;
  std::string metric =
      "accuracy";  ///< key of MetricsRecord::val that the folds are judged by; larger is better
  std::string metric_title = "Accuracy";
  std::string score_title;  ///< of `scores`, where they have another metric; else empty
  const std::string& title_of_scores() const {
    return score_title.empty() ? metric_title : score_title;
  }
  std::vector<ReportScores> scores;  ///< backbones in the recipe's order, then mean, then stack
  std::vector<ReportLabel> labels;   ///< multi-label data

  std::vector<std::string> classes;  ///< single-class data: C names
  std::vector<std::vector<int64_t>>
      confusion_CC;  ///< samples of class row that were predicted as class column

  std::vector<MetricsRecord> metrics;  ///< latest_records(): gives the learning curves
  std::vector<ReportSpan> timeline;
  std::vector<ReportMark> marks;

  std::vector<std::string> weight_models;       ///< M: rows of weights_ML
  std::vector<std::string> weight_labels;       ///< L: its columns
  std::vector<std::vector<double>> weights_ML;  ///< second-level stack weights, mean over folds

  /// Where it is set, scores, curves, labels, classes, weights and samples are its best trial's.
  std::optional<ReportSweep> sweep;
  std::vector<PageSection> parts;  ///< what was analysed further, between samples and settings
  std::string analysis_text;       ///< the analysis for a terminal

  std::vector<ReportSample> samples;
  std::vector<std::string> warnings;
  std::vector<ReportFailure> failures;
};

}  // namespace baleen
