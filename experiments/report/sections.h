#pragma once

#include <optional>
#include <string>

#include "experiments/report/report_data.h"

namespace baleen {

// The parts of the page, each as HTML; empty where the data hold nothing for it.

/// What the ensemble gained or lost, for the head of the page.
struct ReportGain {
  double stack = 0;
  std::string stack_name;
  double best_model = 0;
  std::string best_model_name;
  std::optional<double> mean;
  bool on_test = false;  ///< compared on the held-out test set instead of out of fold
};
/// From the stack (else the mean) and the models, out of fold, or on the test set. Empty unless
/// both have scores.
std::optional<ReportGain> find_gain(const ReportData& data, bool on_test);

std::string trials_section(const ReportData& data);  // of a sweep
std::string scores_section(const ReportData& data);
std::string labels_section(const ReportData& data);   // multi-label
std::string classes_section(const ReportData& data);  // single-class
std::string curves_section(const ReportData& data);
std::string timeline_section(const ReportData& data);
std::string weights_section(const ReportData& data);
std::string samples_section(const ReportData& data);
std::string problems_section(const ReportData& data);
std::string settings_section(const ReportData& data);

/// The learning curves as JSON for report.js: {metric, models: [{name, folds: [{fold, points:
/// [[epoch, stage, size_px, train_loss, val_loss, metric]]}]}]}; null where not measured.
std::string curves_json(const ReportData& data);

/// A sweep as lines across one vertical axis per key and one for the score, as SVG; empty without
/// trials that have a score.
std::string parallel_coordinates(const ReportSweep& sweep);

}  // namespace baleen
