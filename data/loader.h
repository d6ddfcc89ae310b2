#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/training/batch_source.h"
#include "core/training/gradient_reducer.h"
#include "data/augment/augment.h"
#include "data/augment/normalise.h"
#include "data/augment/registry.h"
#include "data/epoch_order.h"
#include "data/sample_table.h"
#include "data/sampler.h"

namespace baleen {

/// What the images of a batch look like, and how they are read.
struct ImageFeedOptions {
  int64_t size_px = 64;  ///< height and width of the images
  int64_t channels =
      0;  ///< inputs of the network; 0: as stored. Grey images can feed a 3-channel network
  std::string fit = "stretch";  ///< "stretch" or "crop": how an image that isn't square becomes one
  Normalisation normalise;  ///< from resolve_normalisation(), one entry per channel of the network
  bool channels_last = false;  ///< memory format of the images
  bool bytes = false;  ///< uint8 levels that are not normalised: a quarter of the memory, for who
                       ///< normalises on a GPU
  bool pin =
      false;  ///< batches in page-locked memory, for copies to a GPU that run beside computation
  int64_t threads = 1;      ///< reading ahead; 0: read in next(). No effect on the content
  int64_t queue_depth = 4;  ///< micro-batches read ahead at most
};

/// One stage's training batches, as one rank sees them.
struct TrainingFeedOptions {
  int64_t batch = 32;      ///< samples per optimizer step, over all shards
  ShardRange shards;       ///< this rank's logical shards
  int64_t accumulate = 1;  ///< micro-batches per shard
  bool drop_last = true;   ///< leave out the last, smaller batch
  uint64_t seed = 0;       ///< of order and augmentation
  ShuffleOptions shuffle;  ///< how an epoch is put in order
  /// Instead of a shuffle: the rows of an epoch, batch after batch. At least as many as the epoch's
  /// steps take. Must not depend on the rank.
  std::function<EpochOrder(int64_t epoch)> order;
  int64_t epoch_samples = 0;  ///< that an epoch's steps are cut of; 0: as many as there are rows
  AugmentOptions augment;     ///< its `custom` list is not looked at: see below
  std::vector<AugmentationStep> custom;  ///< from AugmentationRegistry::create_all()
  /// Batches are bytes, cropped and resized, and Batch::finish does the rest on the device: smaller
  /// copies, and no work for the processor. Not with custom augmentations.
  bool augment_on_device = false;
  ImageFeedOptions image;
};

/// Training batches of the given rows: shuffled per epoch, cut by BatchPlan, augmented. See
/// BatchSource.
///
/// targets are float32 [N, L] for multi-label data, int64 [N] for classes, float32 [N, 0] without;
/// with mixup, classes are shares of each, float32 [N, K]. Mixup blends within a micro-batch.
/// The content of a batch depends on (seed, epoch, step, shard) and the dataset only. A sample that
/// can't be read surfaces in next().
/// @throws Error kConfiguration when options contradict each other or the data.
std::unique_ptr<BatchSource> make_training_source(std::shared_ptr<const SampleTable> table,
                                                  std::vector<int64_t> rows,
                                                  const TrainingFeedOptions& options);

/// Prediction over rows in fixed chunks, each sample once, in the order given.
struct PredictionFeedOptions {
  int64_t chunk = 64;  ///< images per chunk: part of the result's identity, as a matrix product's
                       ///< bits depend on it
  int64_t first_chunk = 0;  ///< this rank's chunks are [first_chunk, last_chunk)
  int64_t last_chunk = -1;  ///< -1: to the end
  /// Each chunk comes this many times more, with other random changes each time, after the images
  /// themselves. A draw is a function of (seed, pass, sample id).
  int64_t random_passes = 0;
  AugmentOptions augment;                ///< of the random passes, as in TrainingFeedOptions
  std::vector<AugmentationStep> custom;  ///< of the random passes
  uint64_t seed = 0;
  bool augment_on_device = false;
  ImageFeedOptions image;
};

/// ceil(num_rows / chunk).
int64_t num_chunks(int64_t num_rows, int64_t chunk);

/// The chunks of this rank, each in all its passes. A step is one chunk; Batch::rows tells which
/// samples it holds.
std::unique_ptr<BatchSource> make_prediction_source(std::shared_ptr<const SampleTable> table,
                                                    std::vector<int64_t> rows,
                                                    const PredictionFeedOptions& options);

/// The same from a packed dataset.
std::unique_ptr<BatchSource> make_training_source(std::shared_ptr<const PackedDataset> dataset,
                                                  std::vector<int64_t> rows,
                                                  const TrainingFeedOptions& options);
std::unique_ptr<BatchSource> make_prediction_source(std::shared_ptr<const PackedDataset> dataset,
                                                    std::vector<int64_t> rows,
                                                    const PredictionFeedOptions& options);

}  // namespace baleen
