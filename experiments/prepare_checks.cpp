#include "experiments/prepare_checks.h"

#include <fmt/format.h>

#include "core/base/error.h"
#include "data/weighted_sampler.h"
#include "distributed/device.h"
#include "experiments/label_task.h"
#include "experiments/sampling.h"

namespace baleen {

void check_variants(const PreparedRun& run) {
  for (const BackboneSection& backbone : run.recipe.backbones) {
    with_context(
        [&] {
          return fmt::format("looking for the images of backbone '{}'", backbone.label_or_name());
        },
        [&] {
          for (const auto& [dataset, path] :
               {std::pair(run.dataset, run.recipe.dataset), std::pair(run.test, run.recipe.test)})
            if (dataset)
              with_context([&path] { return path; },
                           [&] { (void)dataset->variant(backbone.variant); });
          for (size_t i = 0; i < run.training.extra.size(); ++i)
            with_context([&] { return run.recipe.extra.at(i).dataset; },
                         [&] { (void)run.training.extra[i].dataset->variant(backbone.variant); });
        });
  }
}

void check_precision(const Recipe& recipe) {
  constexpr int64_t kLeastSizePx = 20;
  if (recipe.training.precision != "bf16" || !training_device(recipe.training.device).is_cpu())
    return;
  for (size_t b = 0; b < recipe.backbones.size(); ++b) {
    for (const StageOptions& stage : recipe.stages_of(static_cast<int64_t>(b))) {
      if (stage.size_px >= kLeastSizePx) continue;
      throw Error(ErrorKind::kConfiguration,
                  fmt::format("bf16 on the CPU is not safe at {} px: LibTorch's kernels give wrong "
                              "gradients below {} px",
                              stage.size_px, kLeastSizePx),
                  "set training.precision to fp32, or make the stage larger");
    }
  }
}

void check_learning(const PreparedRun& run) {
  const auto table = run.training.table(run.dataset);
  for (int64_t fold = 0; fold < run.folds.count; ++fold) {
    for (size_t b = 0; b < run.recipe.backbones.size(); ++b) {
      const std::vector<int64_t> rows = training_rows(run.folds, fold, *run.task, table->size());
      const ChainFacts facts = chain_facts(run.recipe, static_cast<int64_t>(b), rows);
      with_context([&] { return fmt::format("looking at the training images of fold {}", fold); },
                   [&] {
                     (void)run.task->learning(facts);
                     const SamplingSection& sampling = run.recipe.training.sampling;
                     if (!sampling.weighs()) return;
                     const auto weights = sampling_weights(sampling, *table, rows);
                     (void)weighted_order(rows, weights, sampling.epoch_samples(std::ssize(rows)),
                                          sampling.replacement, 0, 0);
                   });
    }
  }
}

void check_exclusive(const PreparedRun& run) {
  if (run.recipe.task.kind != "labels" || run.dataset->target_kind() != TargetKind::kMultiLabel)
    return;
  (void)exclusive_groups(run.recipe.thresholds, run.dataset->label_names());
}

}  // namespace baleen
