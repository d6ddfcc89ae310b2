#include "experiments/analysis/analyze_job.h"

#include <fmt/format.h>

#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "data/image/image.h"
#include "experiments/analysis/retrained.h"
#include "experiments/chain_predictions.h"
#include "experiments/report_samples.h"

namespace baleen {
namespace {

constexpr int64_t kThumbnailPx = 160;
constexpr int64_t kReportConfusing = 12;

/// The picture of each sample in a folder, by the name of its file.
SamplePictures pictures_of_folder(const std::filesystem::path& folder,
                                  const std::vector<ConfusingSample>& samples) {
  SamplePictures pictures;
  for (const ConfusingSample& sample : samples) {
    for (const char* ending : {"", ".jpg", ".jpeg", ".png", ".tif"}) {
      const std::filesystem::path file = folder / (sample.id + ending);
      if (!std::filesystem::is_regular_file(file)) continue;
      pictures[sample.id] = embedded_picture(read_image(file, 3).view(), kThumbnailPx);
      break;
    }
  }
  if (pictures.empty() && !samples.empty()) {
    throw Error(ErrorKind::kData,
                fmt::format("{} holds no picture of '{}' or any other confusing sample",
                            folder.string(), samples.front().id),
                "files are looked for as <id>.jpg, .jpeg, .png, .tif");
  }
  return pictures;
}

std::string write_analysis(const AnalyzeJob& job, const Analysis& analysis,
                           const SamplePictures& pictures) {
  std::filesystem::create_directories(job.output);
  write_file_atomically(job.output / "analysis.json", analysis_to_json(analysis));
  write_file_atomically(
      job.output / "analysis.html",
      render_page(
          "Analysis",
          fmt::format("{} models, {} samples, {} {}", analysis.models.size(), analysis.num_samples,
                      analysis.labels.size(), analysis.classes ? "classes" : "labels"),
          analysis_sections(analysis, pictures)));
  return print_analysis(analysis) +
         fmt::format("written: {}\n", (job.output / "analysis.html").string());
}

}  // namespace

SamplePictures pictures_of_run(const PreparedRun& run,
                               const std::vector<ConfusingSample>& samples) {
  SamplePictures pictures;
  std::vector<uint8_t> scratch;
  for (const ConfusingSample& sample : samples) {
    const int64_t row = run.dataset->row_of(sample.id);
    if (row < 0) continue;
    pictures[sample.id] =
        embedded_picture(run.dataset->image(row, kThumbnailPx, scratch), kThumbnailPx);
  }
  return pictures;
}

Analysis analyse_run(const RunDirectory& directory, const PreparedRun& run) {
  StackJob job;
  job.inputs.push_back({.path = directory.root().string()});
  job.thresholds = run.recipe.thresholds;
  job.keep_degenerate = true;
  Analysis analysis = analyse(load_stack(job), job, kReportConfusing);
  analysis.learning =
      compare_loss_and_metric(directory.root(), main_metric(run.dataset->target_kind()));
  return analysis;
}

std::string run_analyze_job(const AnalyzeJob& job) {
  if (job.retrained) {
    const RetrainedBoards boards = simulate_retrained(job.stack);
    std::filesystem::create_directories(job.output);
    const std::filesystem::path file = job.output / "retrained.json";
    write_file_atomically(file, retrained_to_json(boards));
    return print_retrained(boards) + fmt::format("written: {}\n", file.string());
  }
  const LoadedStack loaded = load_stack(job.stack);
  Analysis analysis = analyse(loaded, job.stack, job.confusing);
  SamplePictures pictures;
  for (const EnsembleInput& input : job.stack.inputs) {
    if (!is_run(input)) continue;
    const RunDirectory directory(input.path);
    const auto curves =
        compare_loss_and_metric(directory.root(), loaded.input.classes ? "accuracy" : "f2");
    analysis.learning.insert(analysis.learning.end(), curves.begin(), curves.end());
    if (pictures.empty() && job.images.empty()) {
      const PreparedRun run =
          with_context([&] { return "opening the data of " + directory.root().string(); },
                       [&] { return prepare_run(load_recipe(directory.config(), {}), nullptr); });
      pictures = pictures_of_run(run, analysis.confusing);
    }
  }
  if (!job.images.empty()) pictures = pictures_of_folder(job.images, analysis.confusing);
  return write_analysis(job, analysis, pictures);
}

}  // namespace baleen
