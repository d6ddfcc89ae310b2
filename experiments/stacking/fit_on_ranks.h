#pragma once

#include "experiments/stacking/two_level.h"

namespace baleen {

/// [collective] fit_stack() with the folds dealt out to the ranks: each keeps the predictions of
/// its own, and only sums and penalties' errors travel. Every rank has the whole input and gets the
/// whole result, to the bit that of one process.
StackResult fit_on_ranks(const StackInput& input, const StackOptions& options, Communicator& world);

/// What one rank of fit_on_ranks() holds: rows of the folds k with k % size == rank, and its part
/// of the test set.
StackInput share_of(const StackInput& input, int rank, int size);

}  // namespace baleen
