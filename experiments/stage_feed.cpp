#include "experiments/stage_feed.h"

#include "core/base/seeds.h"

namespace baleen {

Normalisation chain_normalisation(const Recipe& recipe, const SampleTable& table,
                                  std::span<const int64_t> training_rows, int64_t first_size_px) {
  Normalisation measured;
  if (recipe.images.normalise.kind == "dataset") {
    measured = channel_statistics(table, training_rows, first_size_px);
  }
  return resolve_normalisation(recipe.images.normalise, table.channels(), measured);
}

ImageFeedOptions image_feed(const Recipe& recipe, int64_t channels,
                            const Normalisation& normalisation, int64_t size_px,
                            at::Device device) {
  ImageFeedOptions image;
  image.size_px = size_px;
  image.channels = channels;
  image.fit = recipe.images.fit;
  image.normalise = normalisation;
  image.channels_last = recipe.training.channels_last;
  image.pin = device.is_cuda();
  image.threads = recipe.training.loader_threads;
  return image;
}

uint64_t stage_seed(int64_t chain_seed, int64_t fold, int64_t stage) {
  return derive_seed(static_cast<uint64_t>(chain_seed), Stream::kShuffle,
                     {static_cast<uint64_t>(fold), static_cast<uint64_t>(stage)});
}

bool augments_on_device(const TrainingSection& training, const AugmentOptions& augment,
                        at::Device device) {
  if (training.augment_on == "auto") return device.is_cuda() && augment.custom.empty();
  return training.augment_on == "device";
}

TrainingFeedOptions augmented_feed(const Recipe& recipe, const Extensions& extensions,
                                   const AugmentOptions& augment, uint64_t seed,
                                   at::Device device) {
  TrainingFeedOptions feed;
  feed.accumulate = recipe.training.accumulate;
  feed.seed = seed;
  feed.augment = augment;
  feed.custom = extensions.augmentations.create_all(augment.custom);
  feed.augment_on_device = augments_on_device(recipe.training, augment, device);
  return feed;
}

}  // namespace baleen
