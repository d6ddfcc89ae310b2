#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/prediction_table.h"
#include "distributed/communicator.h"

namespace baleen {

/// What a long prediction has come to so far, kept on disk by each rank every ten seconds, so that
/// whoever resumes goes on from there: `predicted-NAME-….part` in the chain's directory.
///
/// A file is the identity, a newline, and a serialised table with its checksum.
class PredictionParts {
 public:
  /// @param directory empty: nothing is kept
  /// @param name what is predicted, as part of the files' names
  /// @param identity of network and data; parts with another one are ignored
  PredictionParts(std::filesystem::path directory, std::string name, std::string identity);

  /// [collective] What earlier starts have kept of `ids`, on every rank. Damaged parts are passed
  /// over with a warning.
  PredictionTable load(const PredictionTable& empty, Communicator& group) const;

  /// Keeps this rank's rows when ten seconds have passed since the last time.
  /// @param known rows that load() found, which makes the file's name unique
  void keep_now_and_then(const PredictionTable& mine, const Communicator& group, int64_t known);
  /// The same at once, if anything was predicted at all.
  void keep(const PredictionTable& mine, const Communicator& group, int64_t known);
  /// The same where the prediction has taken so long that losing it would be a pity.
  void keep_if_long(const PredictionTable& mine, const Communicator& group, int64_t known);

  /// Removes the parts of all predictions in a directory.
  static void remove_all(const std::filesystem::path& directory);

  static constexpr double kInterval_s = 8;

 private:
  using Clock = std::chrono::steady_clock;
  PredictionTable read_all(const PredictionTable& empty) const;

  std::filesystem::path directory_;
  std::string name_, identity_;
  Clock::time_point start_ = Clock::now();
  Clock::time_point kept_ = Clock::now();
};

}  // namespace baleen
