#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/augment/pair_flips.h"
#include "data/epoch_order.h"
#include "experiments/mining/pair_mining.h"
#include "experiments/siamese/siamese_section.h"

namespace baleen {

// What an epoch of pairs is. Everything is a pure function of its arguments.

/// Positions of the images that can be in pairs: of individuals with two pictures or more. The
/// others rest.
std::vector<int64_t> images_with_partners(const MiningImages& images);

/// Images that an epoch shows: every one of `num_images` in a pair of one individual and in one of
/// two, all with their mirrored forms, both kinds balanced.
int64_t images_per_epoch(int64_t num_images, const SiameseSection& section);

/// The pairs of an epoch, image by image: positions 2i and 2i + 1 are a pair. `num_images` of them
/// (even): from the beginning again where mining found fewer pairs than there could be.
/// @param rows dataset rows of the mined images
/// @throws Error kData where no pair was mined, or none of a kind that is to be balanced.
EpochOrder pair_epoch(const MinedList& list, std::span<const int64_t> rows,
                      const SiameseSection& section, uint64_t seed, int64_t chain_epoch,
                      int64_t num_images);

/// K for pairs that are mined before an epoch: what the stage says, or Piotte's table by the epochs
/// of the chain.
double pair_noise(const std::vector<PairNoise>& of_stage, int64_t stage_epoch, int64_t chain_epoch);

}  // namespace baleen
