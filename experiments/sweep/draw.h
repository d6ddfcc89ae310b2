#pragma once

#include <vector>

#include "core/config/node.h"
#include "core/config/problems.h"
#include "experiments/sweep/sweep_config.h"

namespace baleen {

/// The values of every trial, by axis; each keeps the place in the file that it came from.
///
/// A grid counts through its lists, the last axis fastest. Draws of random and halving are a pure
/// function of (seed, number of the trial, key): more trials, or another order of keys, leave the
/// draws as they are. No combination is drawn twice: where all axes are lists, trials walk through
/// a random order of their combinations, else a draw that was there before is made again.
/// @param problems gets one where the space holds fewer combinations than trials are asked for, or
/// a grid more than can be numbered
std::vector<std::vector<config::Node>> draw_trials(const SweepConfig& config,
                                                   const std::vector<SweepAxis>& axes,
                                                   std::vector<config::Problem>& problems);

/// Trials are numbered with four digits.
inline constexpr size_t kMostTrials = 10000;

}  // namespace baleen
