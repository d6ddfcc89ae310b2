#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/base/atomic_file.h"
#include "core/base/error.h"

namespace baleen {

/// One line of journal.jsonl. Which fields matter depends on the kind.
struct JournalRecord {
  enum class Kind {
    kRunStarted,     ///< plan_hash, ranks (all of the world), hosts
    kChainAssigned,  ///< chain, ranks
    kStageFinished,  ///< chain, ranks, stage, seconds, digests
    kChainFinished,  ///< chain, ranks, seconds, optimizer_steps, digests, metrics
    kChainPaused,    ///< chain, ranks, seconds, epochs, optimizer_steps, metrics
    kChainFailed,    ///< chain, ranks, rank (that saw it), error, set_aside
    kStepFinished,   ///< name of a step after the chains ("stacking"), seconds, digests
    kRunFinished,    ///< exit_code
    kNotice,         ///< name of the chain (may be empty), rank, what, error_message (the text)
    kTrialDrawn,     ///< trial, values
    kTrialPromoted,  ///< trial, rung, score
    kTrialStopped,   ///< trial, reason, folds, score, median; or error
    kTrialFinished,  ///< trial, seconds, digests, metrics
  };
  Kind kind = Kind::kRunStarted;
  int64_t sequence = 0;  ///< from 0, without gaps; set by Journal
  double time_s = 0;     ///< since 1970, UTC; set by Journal
  std::string plan_hash;
  std::string name;  ///< of a chain or step
  std::vector<int> ranks;
  std::vector<std::string> hosts;
  int64_t stage = 0;
  double seconds = 0;
  int64_t optimizer_steps = 0;
  int64_t epochs = 0;                         ///< trained over all stages
  int64_t trial = -1;                         ///< number
  int64_t rung = 0;                           ///< from 0: the one that a trial is promoted to
  int64_t folds = 0;                          ///< that a stopped trial was judged by
  double score = 0;                           ///< of a trial
  double median = 0;                          ///< of the other trials' scores
  std::string reason;                         ///< "median", "numeric"
  std::map<std::string, std::string> values;  ///< of a trial: key of the recipe -> value
  std::map<std::string, std::string> digests;
  std::map<std::string, double> metrics;
  int rank = -1;
  std::string error_kind;     ///< name_of(ErrorKind)
  std::string error_message;  ///< Error::what()
  bool set_aside = false;     ///< the chain is not tried again in this start
  int exit_code = 0;
  std::string what;  ///< kind of notice: Notice::what
};

/// What a journal says has happened.
struct JournalState {
  std::vector<JournalRecord> records;
  std::map<std::string, JournalRecord> finished_chains;  ///< by chain name
  std::map<std::string, int64_t> finished_stages;        ///< chain -> stages finished
  /// By step name; of the chains that are finished now, not of fewer in an earlier start.
  std::map<std::string, JournalRecord> finished_steps;
  std::map<std::string, int64_t> paused_epochs;      ///< chain -> epochs it was last paused after
  std::map<int64_t, JournalRecord> finished_trials;  ///< by number
  std::map<std::string, int64_t> num_failures;       ///< chain -> failures since it last finished
  std::string plan_hash;                             ///< of the last start; empty: never started
  bool complete = false;                             ///< the last start ended with exit code 0

  std::vector<std::string> finished_names() const;
};

/// The append-only record of a run: the truth about what is finished.
///
/// Each line is a JSON object whose last member, "crc", is the CRC32C of the bytes before it, so
/// that any tool can read the file. A record is on disk (fdatasync) when append() returns. A crash
/// can leave the last line torn; it is cut off on the next opening, with a warning. Damage anywhere
/// else is an error: it must not silently unmake finished work.
class Journal {
 public:
  /// Opens or creates, replays, and cuts off a torn last line.
  /// @throws Error kData naming file and line when the middle is damaged; kStorage when the file
  /// can't be written.
  explicit Journal(std::filesystem::path file);

  const JournalState& state() const { return state_; }  ///< not while another thread appends

  /// Sets sequence and time, writes, syncs, and applies to state(). Any thread.
  /// @throws Error kStorage; the record then is neither in the file nor in state().
  void append(JournalRecord record);

 private:
  std::mutex mutex_;
  JournalState state_;
  std::unique_ptr<AppendFile> file_;
};

/// Reads a journal without changing it, for reports and `verify`. A torn last line is ignored.
/// @param torn set to whether there was one; may be null
JournalState read_journal(const std::filesystem::path& file, bool* torn = nullptr);

/// "chain_finished" and the like.
const char* name_of(JournalRecord::Kind kind);

}  // namespace baleen
