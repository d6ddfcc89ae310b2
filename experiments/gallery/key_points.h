#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/image/local_features.h"
#include "data/packed_dataset.h"
#include "distributed/communicator.h"

namespace baleen {

/// Where key points come from.
struct KeyPointSource {
  std::shared_ptr<const PackedDataset> images;
  std::filesystem::path masks;  ///< grey PNGs, `<id>.png`, bright where the subject is; empty: none
};

struct KeyPointOptions {
  LocalFeatureOptions features;
  /// Folder that keeps what was found, one file per image, named by a digest of the image, its mask
  /// and the options; empty: none.
  std::filesystem::path cache;
  int64_t threads = 1;         ///< per rank; no effect on the result
  std::function<bool()> stop;  ///< a signal arrived; may be empty
};

/// [collective] Key points of these images, in the order of their ids, found in parallel over ranks
/// and threads. Every rank returns all of them: about 140 bytes per key point.
/// @throws Error kData naming an id that has no image, or the mask file that is missing or no
/// image; kStorage; kInterrupted; PeerFailed.
std::vector<LocalFeatures> find_key_points(const KeyPointSource& source,
                                           std::span<const std::string> ids,
                                           const KeyPointOptions& options, Communicator& group);

/// Two images whose key points are to be compared, by their places among those of a counter.
struct KeyPointPair {
  int64_t first = 0;
  int64_t second = 0;
};

/// Counts matching key points of many pairs of images on all ranks, asked by rank 0 alone: it calls
/// count() as often as it likes, while the others are in serve(), and at last finish().
class KeyPointCounter {
 public:
  /// @param features of all images, the same on every rank
  KeyPointCounter(std::vector<LocalFeatures> features, const LocalMatchOptions& options,
                  int64_t threads, Communicator& group);

  /// Rank 0: inliers of each pair, in their order; see count_inliers(). @throws PeerFailed.
  std::vector<int64_t> count(const std::vector<KeyPointPair>& pairs);
  /// Other ranks: counts with rank 0 until it is finished. @throws what stopped the counting.
  void serve();
  /// Rank 0: releases the others. Nothing to do after count() has thrown.
  void finish() noexcept;

 private:
  std::vector<int64_t> count_together(const std::string& pairs);

  std::vector<LocalFeatures> features_;
  LocalMatchOptions options_;
  int64_t threads_;
  Communicator& group_;
  bool serving_ = true;
};

}  // namespace baleen
