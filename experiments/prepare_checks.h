#pragma once

#include "experiments/recipe.h"
#include "experiments/run.h"

namespace baleen {

/// Every variant that a backbone asks for is there, before anything is trained.
/// @throws Error kConfiguration, kData naming backbone and dataset.
void check_variants(const PreparedRun& run);

/// oneDNN's bfloat16 gradients of strided convolutions read memory that was never written where
/// maps shrink to a pixel or two: with LibTorch 2.11 on AVX-512 the loss of small inputs is garbage
/// now and then. Seen below 20 px, never from there on.
/// @throws Error kConfiguration naming the size.
void check_precision(const Recipe& recipe);

/// Every fold's training images can be learnt from.
/// @throws Error kData, kConfiguration naming the fold.
void check_learning(const PreparedRun& run);

/// The labels that `thresholds.exclusive` names are there, where scores become sets of labels.
/// @throws Error kConfiguration naming the label.
void check_exclusive(const PreparedRun& run);

}  // namespace baleen
