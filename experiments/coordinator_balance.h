#pragma once

#include <cstddef>
#include <vector>

namespace baleen {

/// Divides chains among ranks so that the last rank ends early.
///
/// Longest first onto the rank that is free soonest (Graham 1969), then, for up to
/// kMostBalancedChains chains, moves and exchanges between the last rank and any other for as long
/// as they bring the end forward, from several starts: a few per cent where ranks have only a
/// handful of chains each. A pure function.
/// @param costs_s of the chains, longest first
/// @param free_s when each rank is free; at least one rank
/// @returns by chain: index into `free_s`
std::vector<size_t> balance(const std::vector<double>& costs_s, const std::vector<double>& free_s);

/// Beyond so many chains the order alone is good enough, and the search would take long.
inline constexpr size_t kMostBalancedChains = 128;

}  // namespace baleen
