#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace baleen {

// How images of individuals are divided to judge re-identification. Pure functions of their
// arguments; rows of a result are ascending.

/// Images that are known, and images that ask who they show.
struct GallerySplit {
  std::vector<int64_t> gallery;
  std::vector<int64_t> queries;
};

/// Every query's individual is in the gallery: of each individual with two images or more, about
/// `query_share` of the images, at least one and never all, become queries. Individuals with one
/// image stay in the gallery.
GallerySplit closed_set_split(std::span<const int64_t> identity_N, double query_share,
                              uint64_t seed);

/// Some queries show strangers: about `unknown_share` of the individuals (at least one, never all)
/// have all their images among the queries; the others are divided as in closed_set_split().
/// @throws Error kData for fewer than two individuals.
GallerySplit open_set_split(std::span<const int64_t> identity_N, double unknown_share,
                            double query_share, uint64_t seed);

}  // namespace baleen
