#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/pack/output_directory.h"
#include "data/pack/shard_record.h"
#include "data/pack/source_table.h"
#include "data/pack/sources.h"

namespace baleen {

/// A shard that has to be made.
struct PlannedShard {
  int64_t number = 0;
  std::string identity;         ///< digest of all that decides its bytes
  std::vector<size_t> samples;  ///< indices into the list of sources
};

/// One dataset to make or to extend: what every process of a team needs to pack its shards.
struct PackPart {
  std::filesystem::path target;
  bool complete = false;  ///< there is nothing to do
  Manifest manifest;      ///< what is known before: kinds, labels, channels, resolutions
  std::string reference;  ///< whose size the images must have
  std::vector<PlannedShard> todo;
  int64_t num_samples = 0;  ///< of all shards, finished ones included
  int64_t num_resumed = 0;  ///< of shards that an earlier start finished
};

/// What the options say of a dataset's content, as JSON.
std::string effective_options(PackOptions options);

/// What options and sources say of a dataset before any image is read.
Manifest manifest_header(const PackOptions& options, const SourceList& list);

/// What rank 0 found out, for the others; and how they take it in.
std::string to_json_text(const PackPart& part);
PackPart pack_part_from(const std::string& text, const PackOptions& options,
                        const SourceList& list);

/// Rank 0's hold on a part: finds out what has to be made, and publishes it in the end.
class PartOwner {
 public:
  struct Request {
    std::filesystem::path target;
    std::string identity;         ///< of the whole dataset
    std::vector<size_t> samples;  ///< indices into the list, in the order of rows
    bool overwrite = false;
    bool append = false;
  };

  /// Whether dividing the sources with care is idle: all is there already, or this appends to what
  /// is there, which only options allow that need none of it.
  /// @throws Error kConfiguration when the target holds something else.
  static bool is_settled(const Request& request);

  /// Locks the target, unless it is complete already, and looks through what is there.
  /// @throws Error kUsage when somebody else packs there; kConfiguration when the target holds
  /// something else; kData when appending contradicts what is there; kStorage.
  PartOwner(const PackOptions& options, SourceList& list, Request request);

  const PackPart& part() const { return part_; }

  /// Puts the dataset together and publishes it.
  /// @param made records of the shards of part().todo
  /// @throws Error kData when there is not a single good image; kStorage.
  void finish(std::vector<ShardRecord> made);

  /// The manifest of the finished or complete dataset.
  const Manifest& manifest() const { return manifest_; }
  int64_t num_appended() const { return num_appended_; }
  /// Images that this and earlier starts of this pack left out.
  const std::vector<BadImage>& bad() const { return bad_; }

 private:
  static std::optional<Manifest> complete_manifest(const Request& request);
  static void refuse_to_replace(const Request& request);
  bool find_complete();
  void choose_new_samples(const SourceList& list);
  void find_size(const SourceList& list);
  void plan_shards(SourceList& list);
  bool take_finished(const PlannedShard& shard);
  void add_sources();
  void add_counts();

  const PackOptions& options_;
  Request request_;
  PackPart part_;
  std::unique_ptr<OutputDirectory> output_;  ///< null while the part is complete
  std::optional<Manifest> base_;             ///< of the dataset that is extended
  std::vector<PackedSource> sources_;        ///< those of the base, then those of request_.samples
  std::vector<ShardRecord> records_;         ///< finished shards
  Manifest manifest_;
  int64_t first_shard_ = 0;  ///< number of the first shard that is made
  int64_t num_appended_ = 0;
  std::vector<BadImage> bad_;
};

}  // namespace baleen
