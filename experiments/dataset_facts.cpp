#include "experiments/dataset_facts.h"

#include <algorithm>

#include "core/base/atomic_file.h"
#include "core/base/digest.h"
#include "experiments/label_task.h"

namespace baleen {

DatasetFacts facts_of(const PreparedRun& run, FileDigests& digests) {
  DatasetFacts facts;
  facts.digest = run.dataset->digest();
  facts.target = run.task->name();
  facts.targets_digest = run.task->digest();
  facts.num_samples = static_cast<int64_t>(run.dataset->originals().size());
  facts.num_outputs = run.task->num_outputs();
  facts.channels = run.dataset->channels();
  const int64_t table_size = run.training.table(run.dataset)->size();
  std::string folds;
  for (int64_t k = 0; k < run.folds.count; ++k) {
    const auto held_out = static_cast<int64_t>(run.folds.positions_in(k).size());
    facts.fold_sizes.push_back(held_out);
    facts.fold_copies.push_back(std::count(run.folds.folds.begin(), run.folds.folds.end(), k) -
                                held_out);
    if (const auto images =
            run.task->epoch_images(training_rows(run.folds, k, *run.task, table_size)))
      facts.epoch_images.push_back(*images);
  }
  for (int64_t fold : run.folds.folds) folds += std::to_string(fold) + ",";
  const int64_t own_rows = run.dataset->size();
  facts.fold_left_out.assign(static_cast<size_t>(run.folds.count), 0);
  for (int64_t row = 0; row < table_size; ++row) {
    if (row >= own_rows)
      facts.num_extra += run.task->trains_on(row);
    else if (!run.task->trains_on(row))
      ++facts.fold_left_out[static_cast<size_t>(run.folds.folds[static_cast<size_t>(row)])];
  }
  facts.training_digest = run.training.digest;
  if (const std::string& file = run.recipe.training.sampling.weights_file; !file.empty())
    facts.sampling_digest = digest_hex(read_file(file));
  facts.folds_digest = digest_hex(folds);
  if (run.test) {
    facts.test_digest = run.test->digest();
    facts.num_test = static_cast<int64_t>(run.test->originals().size());
  }
  for (const BackboneSection& backbone : run.recipe.backbones) {
    if (backbone.weights.empty()) continue;
    std::string& digest = digests[backbone.weights];
    if (digest.empty()) digest = digest_hex(read_file(backbone.weights));
    facts.weights_digests[backbone.weights] = digest;
  }
  return facts;
}

}  // namespace baleen
