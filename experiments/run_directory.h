#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <system_error>
#include <vector>

#include "core/base/lock_file.h"
#include "experiments/plan.h"

namespace baleen {

/// Names of everything in a run directory. Only names: nothing is touched.
class RunDirectory {
 public:
  explicit RunDirectory(std::filesystem::path root) : root_(std::move(root)) {}
  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path config() const { return root_ / "config.resolved.yaml"; }
  std::filesystem::path environment() const { return root_ / "env.json"; }
  std::filesystem::path plan() const { return root_ / "plan.json"; }
  std::filesystem::path journal() const { return root_ / "journal.jsonl"; }
  std::filesystem::path metrics_jsonl() const { return root_ / "metrics.jsonl"; }
  std::filesystem::path metrics_csv() const { return root_ / "metrics.csv"; }
  std::filesystem::path tensorboard() const { return root_ / "tb"; }
  std::filesystem::path logs() const { return root_ / "logs"; }
  std::filesystem::path log(int rank) const;  ///< logs/rank-N.log
  std::filesystem::path chains() const { return root_ / "chains"; }
  /// chains/NAME; of a sweep's chain, "0007/NAME": trials/0007/chains/NAME.
  std::filesystem::path chain(const std::string& name) const;
  std::filesystem::path trials() const { return root_ / "trials"; }
  /// A trial's run directory. @param name "0007"
  RunDirectory trial(const std::string& name) const { return RunDirectory(trials() / name); }
  std::filesystem::path sweep() const { return root_ / "sweep.json"; }
  std::filesystem::path oof() const { return root_ / "oof.h5"; }
  std::filesystem::path stack() const { return root_ / "stack"; }
  std::filesystem::path status() const { return root_ / "status.json"; }
  std::filesystem::path failure() const { return root_ / "failure.json"; }
  std::filesystem::path report() const { return root_ / "report.html"; }
  std::filesystem::path lock() const { return root_ / "lock"; }

 private:
  std::filesystem::path root_;
};

/// The folders in which chains have theirs, as far as they are there: `chains`, and of a sweep
/// `trials/NNNN/chains`, in order.
/// @param error set if the trials can't be listed; they are then left out
std::vector<std::filesystem::path> chain_folders(const RunDirectory& directory,
                                                 std::error_code& error);

/// What to do when the run directory holds a run already.
struct Resume {
  enum class Mode {
    kAuto,   ///< go on with it if it is the same plan, start if there is none
    kNever,  ///< refuse
    kMust,   ///< refuse to start a fresh one
  };
  Mode mode = Mode::kAuto;
  std::filesystem::path path;  ///< the run directory to go on with; empty: the recipe's

  /// "auto", "never", "must", or the path of a run directory (which then must hold a run).
  /// @throws Error kUsage for an empty text.
  static Resume parse(const std::string& text);
};

/// How a job that holds the run directory is waited for; by default it is not.
struct HolderWait {
  double seconds = 0;
  std::function<void()> check_stop;  ///< called meanwhile; what it throws ends it; may be empty
};

/// One job at a time per run directory: an advisory lock that the kernel drops when the process
/// dies, in whatever way, and the holder's host and process number for the message.
class RunLock {
 public:
  /// @throws Error kUsage naming the live holder; kStorage when the file can't be written.
  explicit RunLock(const RunDirectory& directory, const HolderWait& wait = {});
  /// Whether an earlier job ended without cleaning up (killed, or the host went down).
  bool recovered() const { return !lock_.abandoned_by().empty(); }

 private:
  LockFile lock_;
};

/// A run directory that this process may write to. Rank 0 only.
struct OpenedRun {
  RunDirectory directory;
  RunLock lock;
  bool resumed = false;  ///< it held this plan already
};

/// Takes the lock, creates the directory tree or checks that it holds this very plan, and writes
/// config.resolved.yaml and plan.json. An old failure.json is kept as failure.previous.json.
/// @param resolved_yaml the whole configuration with defaults filled in
/// @throws Error kConfiguration listing the keys that differ from the stored run, or as `resume`
/// demands; kUsage when another
///         job holds it; kStorage.
OpenedRun open_run_directory(const RunDirectory& directory, const Resume& resume, const Plan& plan,
                             const std::string& resolved_yaml, const HolderWait& wait = {});

/// "  stages[0].size_px: 20 in the run, 24 now", one line per key that differs.
std::string describe_differences(const StoredPlan& stored, const StoredPlan& now);

}  // namespace baleen
