#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "data/pack/options.h"

namespace baleen {

/// How a pack is steered; changes no byte of the result.
struct PackControl {
  bool overwrite =
      false;  ///< replace a dataset that was packed from other sources or with other options
  std::function<void(int64_t done, int64_t total)> on_progress;  ///< called from the calling thread
  std::function<bool()> stop_requested;  ///< polled; true ends the work with kInterrupted
};

/// One bad image.
struct BadImage {
  std::string id;
  std::filesystem::path file;
  std::string reason;
};

/// What was packed.
struct PackSummary {
  struct Part {
    std::filesystem::path directory;
    int64_t rows = 0;
    int64_t bytes = 0;              ///< on disk
    bool already_complete = false;  ///< nothing had to be done
    std::vector<BadImage> quarantined;
  };
  std::vector<Part> parts;         ///< one, or with hold_out the training part and the test part
  std::vector<std::string> notes;  ///< files without a row, …

  bool already_complete() const;
  /// For people: one line per part, then notes and bad images.
  std::string text() const;
};

/// Packs images and labels into the format that PackedDataset reads (data/README.md).
///
/// Works in a temporary directory beside the output that is renamed at the end: an interrupted pack
/// leaves nothing that looks finished, and a repeated one with the same options and sources returns
/// at once. The result does not depend on the number of threads.
/// @throws Error kData naming every bad image (policy "fail") or contradiction of the tables;
/// kConfiguration when the output
///         holds something else; kStorage when the disk is full.
PackSummary pack_dataset(const PackOptions& options, const PackControl& control = {});

}  // namespace baleen
