#pragma once

#include <cstdint>
#include <vector>

#include "data/pack/sources.h"

namespace baleen {

/// A fixed place of each name in an order that another seed shuffles anew.
uint64_t selection_rank(int64_t seed, const std::string& name);

/// Keeps a subset as limit_per_label and limit_total ask, in the list's order. A pure function of
/// ids, labels and seed.
void apply_limits(const PackOptions& options, SourceList& list);

/// Which samples are set apart as a test set: a share of `hold_out` of all and, as near as whole
/// groups allow, of every label. Greedy, rarest label first (after Sechidis et al., "On the
/// Stratification of Multi-Label Data", 2011). A pure function of ids, labels, groups and seed; the
/// order of the list does not matter. Empty when hold_out is 0.
/// @throws Error kData when a part would be left empty.
std::vector<bool> choose_hold_out(const PackOptions& options, const SourceList& list);

}  // namespace baleen
