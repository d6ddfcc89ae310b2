#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "experiments/chain_executor.h"

namespace baleen {

inline constexpr int kCoordinatorRank = 0;

/// Tags on the control channel.
inline constexpr int kTagToCoordinator = 101;
inline constexpr int kTagToWorker = 102;
inline constexpr int kTagStop =
    103;  ///< looked at between steps, while the worker does not read kTagToWorker
inline constexpr int kTagBetweenStages = 104;  ///< the answer to kAsksBetweenStages
inline constexpr int kTagLeave = 105;          ///< number of a chain that nobody needs any more
inline constexpr const char* kGoOn = "go on";
inline constexpr const char* kHandBack = "hand back";

/// From a rank to the coordinator.
struct WorkerMessage {
  enum class Kind {
    kIdle,               ///< first message of every rank: ready, on this host
    kProgress,           ///< of a chain, from its group's rank 0
    kStageDone,          ///< likewise
    kAsksBetweenStages,  ///< likewise: may the group go on, or does the coordinator want the chain
                         ///< back?
    kHandedBack,         ///< this member has left the chain between two stages
    kPaused,             ///< this member has left the chain at the epoch it was wanted to
    kChainDone,          ///< this member has left the chain with a result
    kChainFailed,        ///< this member has left the chain with an error
    kInterrupted,        ///< left the chain because of a stop request; chain < 0: a signal arrived
    kFatal,              ///< this rank is about to end the job
    kNotice,             ///< something to be told and remembered; any rank, chain may be < 0
  };
  Kind kind = Kind::kIdle;
  std::string host;
  int64_t chain = -1;
  int64_t stage = 0;
  double seconds = 0;
  ChainProgress progress;
  ChainOutcome outcome;  ///< kChainDone, kPaused; from group rank 0, others send it empty
  std::map<std::string, std::string> digests;  ///< kStageDone
  std::optional<Error> error;  ///< kChainFailed (none: only because a peer failed), kFatal
  bool ends_run = false;       ///< kChainFailed: no other attempt, the other chains save and end
  Notice notice;               ///< kNotice
};

/// A chain that was given up.
struct FailedChain {
  std::string chain;
  Error error;
  int rank = -1;  ///< world rank that saw the root cause
  std::string host;
};

/// How the run ended; the same on every rank.
struct RunSummary {
  int exit_code = 0;                ///< 0 only when every chain of the plan is finished
  bool interrupted = false;         ///< a stop request ended it: resumable
  bool cut_short = false;           ///< a chain's failure ended it before all others were tried
  int64_t num_finished = 0;         ///< chains finished by this start
  int64_t num_known = 0;            ///< chains that were finished before
  std::vector<FailedChain> failed;  ///< in order of time; the first one gives the exit code
  std::optional<Error> fatal;       ///< what ended the job
  int fatal_rank = -1;              ///< world rank that saw it

  /// Whether every chain was trained or set aside: what is complete can be gathered.
  bool all_tried() const { return !interrupted && !cut_short && !fatal; }
};

/// From the coordinator to a rank.
struct CoordinatorMessage {
  enum class Kind { kAssign, kFinish };
  Kind kind = Kind::kFinish;
  int64_t chain = -1;
  std::vector<int> members;
  int64_t until_epoch = 0;  ///< over all stages; 0: to the end
  int group_tag = 0;
  RunSummary summary;  ///< kFinish
};

/// Messages are JSON text: readable in a log, and safe between builds that differ in padding.
std::string encode(const WorkerMessage& message);
std::string encode(const CoordinatorMessage& message);
/// @throws Error kInternal when the text is not such a message.
WorkerMessage decode_worker_message(const std::string& text);
CoordinatorMessage decode_coordinator_message(const std::string& text);

}  // namespace baleen
