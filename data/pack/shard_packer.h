#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "data/pack/convert.h"
#include "data/pack/shard_record.h"
#include "data/pack/shard_writer.h"

namespace baleen {

/// Packs the samples of one shard. Which samples those are is a matter of their place in the
/// source, so that a shard's bytes depend on nothing but its samples and the options; bad images
/// only leave it smaller.
class ShardPacker {
 public:
  struct Setup {
    const Manifest* manifest = nullptr;  ///< what is known of the dataset: kinds, resolutions, …
    std::string reference;               ///< whose size the images must have, for messages
    std::filesystem::path directory;     ///< where the shard is made
    int64_t number = 0;
    std::string identity;
    bool keep_others = false;  ///< a shard with bad images is made of the good ones
  };
  explicit ShardPacker(Setup setup);

  /// @returns the bytes stored; -1 for a bad image
  int64_t add(ConvertedSample&& sample, const SourceSample& source);

  /// Completes the shard's file, if it has any rows, and its record: after this it is done,
  /// whatever happens.
  /// @throws Error kStorage.
  ShardRecord finish();

 private:
  void check_size(ConvertedSample& sample) const;

  Setup setup_;
  std::unique_ptr<ShardWriter> writer_;
  ShardRecord record_;
  int64_t position_ = 0;  ///< of the next sample
};

}  // namespace baleen
