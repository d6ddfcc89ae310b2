#pragma once

#include <cstdint>
#include <memory>

#include "core/training/batch_source.h"
#include "data/augment/d4.h"
#include "data/loader.h"
#include "data/sample_table.h"

namespace baleen {

/// Whether a symmetry turns left into right: no rotation undoes it.
constexpr bool mirrors(D4 g) {
  return (transposes(g) + reverses_rows(g) + reverses_columns(g)) % 2 != 0;
}

/// A training source of classes, int64 [N], in which an image that was drawn mirrored has the class
/// C + c instead of c. The random changes are a function of (seed, epoch, id), and are drawn a
/// second time here.
/// @param feed what the source was made with
std::unique_ptr<BatchSource> with_mirrored_classes(std::unique_ptr<BatchSource> source,
                                                   const TrainingFeedOptions& feed,
                                                   std::shared_ptr<const SampleTable> table,
                                                   int64_t num_classes);

}  // namespace baleen
