#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/matching/top_k.h"
#include "distributed/communicator.h"
#include "experiments/gallery/match.h"

namespace baleen {

/// [collective] The gallery images with the largest mean score over the models, cosines or what a
/// siamese network's head says (the logit where it is alone), best first, of equal ones the earlier
/// row; a query's own image (the same id and the same features) is left out. Each rank searches its
/// part of the gallery, in blocks: no matrix of all scores exists. The same on any number of ranks.
/// Rows are of the first model's tables.
/// @param models the same on every rank
/// @returns on every rank; -1 behind the end of a gallery of fewer images
TopK nearest_images(const std::vector<MatchModel>& models, int64_t count, Communicator& group);

/// "query,place,image,individual,cosine", one line per query and place; "score", a probability
/// where it is a head's alone, with siamese networks.
std::string nearest_csv(const TopK& nearest, const std::vector<MatchModel>& models,
                        const MatchNames& names);

}  // namespace baleen
