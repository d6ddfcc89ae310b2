#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "data/augment/pair_flips.h"
#include "distributed/communicator.h"

namespace baleen {

// Which pairs of images a siamese network learns from (Piotte 2018): every image once as the first
// and once as the second of a pair of different individuals, so chosen that the pairs are together
// as hard as can be, by a linear assignment over the network's own scores. N images, positions in
// [0, N).

struct MiningOptions {
  /// Images per block: pairs are sought within blocks of images thrown together at random, solved
  /// in parallel, in time that grows with N instead of N³ and memory of N · block. 0: one problem
  /// of all images, N² · 4 bytes.
  int64_t block = 0;
  double noise = 1.0;          ///< K, amplitude of what is added to the scores; see mining_noise()
  bool hard_positives = true;  ///< the least alike images of one individual; else drawn
  int64_t lists = 4;           ///< epochs that are served by one scoring, each with other pairs
  int64_t threads = 1;         ///< blocks solved side by side on a rank; no effect on the result
  /// A signal arrived on this rank: heeded between two blocks of scores and between two lists. May
  /// be empty.
  std::function<bool()> stop;
};

/// What is known of the images.
struct MiningImages {
  std::vector<int64_t> identity;  ///< N
  /// N; equal numbers are copies of one picture and never a pair. Empty: all differ.
  std::vector<int64_t> picture;
};

/// Partners of one epoch, by position; -1: this image has none this time.
struct MinedList {
  std::vector<int64_t> negative;  ///< N, another individual
  std::vector<int64_t> positive;  ///< N, another image of the individual
};

/// The network's scores in [0, 1] that pairs show one individual, float32 [A, B]; the same for
/// (a, b) and (b, a).
using PairScorer =
    std::function<at::Tensor(std::span<const int64_t> first_A, std::span<const int64_t> second_B)>;

/// [collective] The pairs of `lists` epochs. The same on any number of ranks and threads: a
/// function of the scores and of (seed, period). No negative pair of a list comes again in a later
/// one of the period, in either order (one list may hold both orders), and no positive pair in the
/// same order while there are others.
///
/// Where the images leave no complete choice (an individual with most of a block's images, a period
/// of too many lists), as many images as possible get partners and the others none; that is logged.
/// @param scorer called by one thread of each rank; in any cut of the images it must give the same
/// @throws Error kData for fewer than two individuals or where no individual has two pictures;
/// kNumeric for a score that is NaN; kInterrupted on all ranks; PeerFailed.
std::vector<MinedList> mine_pairs(const MiningImages& images, const PairScorer& scorer,
                                  const MiningOptions& options, uint64_t seed, int64_t period,
                                  Communicator& group);

/// The pairs of an epoch in position order, each image's positive before its negative.
/// @param rows N dataset rows
std::vector<ImagePair> pairs_of(const MinedList& list, std::span<const int64_t> rows);

/// K in Piotte's table for an epoch, from 1: 1000 for ten epochs (an untrained network that is fed
/// the hardest pairs learns that likeness means difference), then from 100 falling to 1, then
/// smaller as the learning rate falls; once more from 1 when regularisation begins at epoch 251.
double mining_noise(int64_t epoch);

}  // namespace baleen
