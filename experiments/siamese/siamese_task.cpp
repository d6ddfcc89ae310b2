#include "experiments/siamese/siamese_task.h"

#include <fmt/format.h>

#include <utility>

#include "core/base/error.h"
#include "core/losses/metric/embedding_output.h"
#include "experiments/metric/identity_folds.h"
#include "experiments/siamese/pair_epochs.h"
#include "experiments/siamese/siamese_learning.h"

namespace baleen {

SiameseTask::SiameseTask(const Recipe& recipe, std::shared_ptr<const PackedDataset> dataset,
                         std::shared_ptr<const SampleTable> table)
    : section_(recipe.siamese.value_or(SiameseSection{})),
      dataset_(std::move(dataset)),
      table_(std::move(table)) {
  if (dataset_->target_kind() != TargetKind::kSingleClass)
    throw Error(ErrorKind::kData,
                fmt::format("{} does not say of which individual each image is", recipe.dataset),
                "a siamese network takes a dataset with one class per image: the ids");
}

std::map<std::string, double> SiameseTask::metrics(const at::Tensor&, const std::vector<int64_t>&,
                                                   const ImageFeedOptions&) const {
  throw Error(ErrorKind::kInternal, "features of a siamese network were judged without its head");
}

std::unique_ptr<Loss> SiameseTask::make_loss(const LossRegistry&, const LossOptions&) const {
  return std::make_unique<EmbeddingOutput>(/*num_slices=*/0);
}

FoldSubject SiameseTask::fold_subject(FoldSubject subject, const FoldOptions& options) const {
  return subject_by_identity(std::move(subject), options, section_.split, section_.open_share);
}

std::optional<int64_t> SiameseTask::epoch_images(const std::vector<int64_t>& training_rows) const {
  const auto mined = images_with_partners(mining_images(*table_, training_rows));
  return images_per_epoch(static_cast<int64_t>(mined.size()), section_);
}

std::unique_ptr<ChainLearning> SiameseTask::learning(const ChainFacts& chain) const {
  SiameseLearning::Setup setup;
  setup.section = section_;
  setup.chain = chain.name;
  setup.seed = chain.seed;
  setup.threads = chain.threads;
  setup.noise = chain.pair_noise;
  setup.dataset = dataset_;
  setup.table = table_;
  setup.training_rows = chain.training_rows;
  return std::make_unique<SiameseLearning>(std::move(setup));
}

}  // namespace baleen
