#pragma once

#include <cstdint>

namespace baleen {

// The inner loop of a search: inner products of a few gallery rows and a few dozen queries, held in
// registers and compared with bounds before they are written. Between 1.1 and 1.3 times as fast as
// a matrix product that is scanned afterwards.

constexpr int64_t kTileRows = 8;
constexpr int64_t kTileQueries = 48;

/// Whether this processor has what score_tile() is written for: AVX-512.
bool has_score_tile();

/// float32 scores of kTileRows gallery rows and kTileQueries queries. Products are added one after
/// the other in the order of the width, whatever the neighbours are.
/// @param rows of `width` numbers each, one after the other
/// @param queries [width, kTileQueries]
/// @param bounds kTileQueries
/// @param scores [kTileRows, kTileQueries], written where the result is true
/// @returns whether any score is above its query's bound
bool score_tile(const float* rows, const float* queries, int64_t width, const float* bounds,
                float* scores);

}  // namespace baleen
