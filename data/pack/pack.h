#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "data/pack/options.h"
#include "data/pack/shard_record.h"
#include "data/pack/team.h"

namespace baleen {

/// How a pack is steered; changes no byte of a dataset that is packed as a whole.
struct PackControl {
  bool overwrite =
      false;  ///< replace a dataset that was packed from other sources or with other options
  bool append = false;  ///< add what is new in the source to the dataset that is there
  PackTeam team;        ///< the processes that share the work; they see the same file system
  std::function<void(const PackProgress&)> on_progress;  ///< on rank 0, from the calling thread
  std::function<bool()> stop_requested;  ///< polled; true ends the work with kInterrupted
};

/// What was packed. Complete on rank 0; the others know only that all went well.
struct PackSummary {
  struct Part {
    std::filesystem::path directory;
    int64_t rows = 0;
    int64_t bytes = 0;              ///< on disk
    bool already_complete = false;  ///< nothing had to be done
    bool appended = false;          ///< to what was there
    int64_t num_new = 0;            ///< rows that were added; as a rule all
    std::vector<BadImage> quarantined;
    std::vector<std::string> label_names;
    std::vector<int64_t> label_counts;
  };
  std::vector<Part> parts;         ///< one, or with hold_out the training part and the test part
  std::vector<std::string> notes;  ///< files without a row, …

  int64_t images = 0;        ///< looked at in this start
  int64_t resumed = 0;       ///< images of shards that an earlier start finished
  int64_t stored_bytes = 0;  ///< in this start
  double seconds = 0;        ///< of looking at images and writing shards
  double cpu_seconds = 0;    ///< over all processes and threads
  int64_t processes = 1;

  bool already_complete() const;
  /// For people: a line per part with its labels, throughput, notes, and bad images by reason.
  std::string text() const;
};

/// Packs images and labels into the format that PackedDataset reads (data/README.md).
///
/// Shards are the unit of work: each is made by one process, in a directory beside the output that
/// is renamed at the end, and a pure function of options and sources. So the result is the same
/// bytes for any number of processes and threads, and an interrupted pack goes on after the shards
/// that are finished. A repeated one with the same options and sources returns at once.
/// [collective over control.team]
/// @throws Error kData naming every bad image (policy "fail") or contradiction of the tables;
/// kConfiguration when the output holds something else; kUsage when somebody else packs there;
/// kStorage when the disk is full; kInterrupted. PeerFailed where another process has failed.
PackSummary pack_dataset(const PackOptions& options, const PackControl& control = {});

}  // namespace baleen
