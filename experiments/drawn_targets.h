#pragma once

#include <functional>
#include <memory>

#include "core/training/batch_source.h"
#include "data/augment/augment.h"
#include "data/loader.h"
#include "data/packed_dataset.h"

namespace baleen {

/// Writes one row's target, moved as its image is. Called from one thread at a time.
/// @param draw its crop is the one of the stage's fit
/// @param out `width` numbers
using WriteTarget = std::function<void(int64_t row, const AugmentDraw& draw, float* out)>;

/// A training source whose targets follow the random changes of the images: float32 [N, width]. The
/// changes are a function of (seed, epoch, id), and are drawn a second time here.
/// @param feed what the source was made with
std::unique_ptr<BatchSource> with_drawn_targets(std::unique_ptr<BatchSource> source,
                                                const TrainingFeedOptions& feed,
                                                std::shared_ptr<const PackedDataset> dataset,
                                                int64_t width, WriteTarget write);

}  // namespace baleen
