#pragma once

#include <filesystem>
#include <string>

#include "experiments/analysis/analysis_page.h"
#include "experiments/ensemble/stack_job.h"
#include "experiments/run.h"

namespace baleen {

/// What `baleen analyze` does: the inputs, labels and folds of a StackJob, looked at instead of
/// combined.
struct AnalyzeJob {
  StackJob stack;
  int64_t confusing = 24;        ///< samples to show
  std::filesystem::path images;  ///< folder with a picture per id, where no run brings them
  bool retrained = false;        ///< the inputs were trained on different samples: see retrained.h
  std::filesystem::path output = "analysis";
};

/// Writes analysis.json and analysis.html, or retrained.json. @returns the tables for people
/// @throws Error kData, kConfiguration as load_stack; kStorage.
std::string run_analyze_job(const AnalyzeJob& job);

/// A finished run analysed with its own thresholds.
Analysis analyse_run(const RunDirectory& directory, const PreparedRun& run);

/// Thumbnails of samples from a run's dataset.
SamplePictures pictures_of_run(const PreparedRun& run, const std::vector<ConfusingSample>& samples);

}  // namespace baleen
