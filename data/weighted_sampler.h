#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace baleen {

/// The rows of one epoch, drawn by weights. A pure function of its arguments.
///
/// With replacement, each of `count` draws takes row i with probability w_i / Σw. Without, rows are
/// drawn one after the other, each by the weights of those that are left (Efraimidis and Spirakis,
/// "Weighted random sampling with a reservoir", 2006), which is what torch.multinomial does. A row
/// of weight 0 is never drawn.
/// @param weights one per row, finite and not negative
/// @throws Error kConfiguration when there is nothing to draw, or too little without replacement.
std::vector<int64_t> weighted_order(std::span<const int64_t> rows, std::span<const double> weights,
                                    int64_t count, bool replacement, uint64_t seed, int64_t epoch);

}  // namespace baleen
