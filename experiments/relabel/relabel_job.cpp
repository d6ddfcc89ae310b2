#include "experiments/relabel/relabel_job.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "core/base/logging.h"
#include "experiments/collective.h"
#include "experiments/complete_part.h"
#include "experiments/relabel/run_predictions.h"

namespace baleen {
namespace {

int64_t num_accepted(const std::vector<Proposal>& proposals) {
  return std::count_if(proposals.begin(), proposals.end(),
                       [](const Proposal& proposal) { return proposal.accepted; });
}

PreparedRun open_run(const RelabelJob& job) {
  const RunDirectory directory(job.run);
  if (!std::filesystem::exists(directory.config()))
    throw Error(ErrorKind::kData, fmt::format("{} holds no run", job.run.string()),
                "give the directory that `baleen run` printed, runs/<name> as a rule");
  PreparedRun run =
      with_context([&] { return "opening the run " + job.run.string(); },
                   [&] { return prepare_run(load_recipe(directory.config(), {}), nullptr); });
  if (run.sweep)
    throw Error(ErrorKind::kData, fmt::format("{} is a sweep", job.run.string()),
                "give one of its trials: trials/NNNN below it");
  if (run.recipe.task.kind != "labels")
    throw Error(ErrorKind::kData,
                fmt::format("{} learnt {}, not labels", job.run.string(), run.recipe.task.kind),
                "individuals are proposed by `baleen match --pseudo-labels`");
  if (!std::filesystem::exists(directory.oof()))
    throw Error(ErrorKind::kData, fmt::format("{} has no oof.h5", job.run.string()),
                "finish the run first: the command that started it goes on with it");
  // oof.h5 has what was complete; networks that lack a fold have no say here either.
  if (!std::filesystem::exists(directory.journal())) return run;
  return complete_part(std::move(run), read_journal(directory.journal()));
}

}  // namespace

std::string run_relabel_job(const RelabelJob& job, const Extensions& extensions,
                            Communicator& group) {
  const PreparedRun run = agreed(group, [&] { return open_run(job); });
  const RunDirectory directory(job.run);
  if (group.rank() == 0)
    for (const std::string& model : describe_left_out(run)) log_warning("{}", model);
  at::set_num_threads(static_cast<int>(run.recipe.training.threads_per_rank));
  const std::vector<std::string>& labels = run.dataset->label_names();
  const TargetKind kind = run.dataset->target_kind();
  std::optional<PredictionTable> predicted;
  if (!job.unlabelled.empty()) {
    const auto dataset = agreed(group, [&] { return PackedDataset::open(job.unlabelled); });
    predicted = predict_with_run(run, directory, dataset, extensions, job.stop, group);
  }
  std::string text;
  on_first_rank(group, [&] {
    std::filesystem::create_directories(job.output);
    if (predicted) {
      const auto proposals =
          propose_labels(predicted->ids(), predicted->values(), labels, kind, job.trust);
      write_file_atomically(job.output / "review.csv",
                            proposals_csv(proposals, labels, kind, false));
      predicted->write(job.output / "teacher.h5");
      text += fmt::format("{} of {} images are certain enough: {}\n", num_accepted(proposals),
                          proposals.size(), (job.output / "review.csv").string());
    }
    const auto corrections =
        suggest_corrections(read_oof(directory.oof()), job.trust, job.corrections);
    write_file_atomically(job.output / "corrections.csv",
                          proposals_csv(corrections, labels, kind, true));
    text += fmt::format(
        "{} labelled images look otherwise to models that were not trained on them{}: {}\n",
        corrections.size(),
        job.trust.accept_corrections
            ? fmt::format(", {} certainly enough", num_accepted(corrections))
            : std::string(),
        (job.output / "corrections.csv").string());
  });
  return text;
}

}  // namespace baleen
