#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "experiments/coordinator.h"
#include "experiments/run_directory.h"

namespace baleen {

/// A chain in work, as its group's first rank last told the coordinator.
struct ChainStatus {
  std::string name;
  std::vector<int> ranks;
  std::string phase;  ///< ChainProgress::phase; empty: starting
  int64_t stage = 0;  ///< from 0
  int64_t num_stages = 1;
  int64_t size_px = 0;
  int64_t epoch = 0;  ///< from 0, in the stage
  int64_t num_epochs = 0;
  int64_t step = 0;  ///< done in the epoch
  int64_t num_steps = 0;
  double samples_per_s = 0;
  double loss = 0;
  double share_done = 0;  ///< of the chain's cost, in [0, 1]
  double assigned_s = 0;  ///< since 1970
  double heard_s = 0;     ///< since 1970; of the last word of it
};

/// What `baleen status` shows: status.json of a run directory.
struct RunStatus {
  std::string name;
  std::string host;                ///< of rank 0
  int64_t process = 0;             ///< of rank 0
  double started_s = 0;            ///< since 1970; of this start
  double written_s = 0;            ///< since 1970
  std::string phase = "chains";    ///< then "stacking", "report"; or "interrupted"
  std::vector<std::string> hosts;  ///< by rank
  int64_t num_chains = 0;
  int64_t num_finished = 0;  ///< over all starts
  double share_done = 0;     ///< of the run's cost
  double left_s = -1;        ///< at the pace of this start; below 0: not known yet
  std::vector<ChainStatus> in_work;
  std::map<std::string, std::string> set_aside;  ///< chain -> why
  std::map<int, std::string> slow_ranks;         ///< at the moment: rank -> message
  std::vector<std::string> notices;              ///< the last ones of this start, oldest first
};

/// Keeps status.json of a run up to date without waiting for the disk: with every change of phase,
/// and by a thread of its own every other second, so that its age says whether rank 0 lives, even
/// while a step stands still or the stack is computed.
/// Where it can't be written the run goes on, with one warning.
class StatusWriter final : public CoordinatorObserver {
 public:
  /// @param hosts by rank
  /// @param journal of earlier starts: what is finished, and what chains that were left had done
  /// @param expected_cost of what will be trained of the plan; 0: all of it
  StatusWriter(std::filesystem::path file, const Plan& plan, std::vector<std::string> hosts,
               const JournalState& journal, double expected_cost = 0);
  ~StatusWriter() override;

  void chain_started(const ChainSpec& chain, const std::vector<int>& members) override;
  void chain_progress(const ChainSpec& chain, const ChainProgress& progress) override;
  void chain_left(const ChainSpec& chain) override;
  void chain_finished(const ChainSpec& chain, const ChainOutcome& outcome, double seconds) override;
  void chain_failed(const ChainSpec& chain, const Error& error, int rank, bool will_retry) override;
  void noticed(const Notice& notice) override;
  void chain_dropped(const ChainSpec& chain) override;
  /// What the run as a whole is at.
  void set_phase(const std::string& phase);

 private:
  using Clock = std::chrono::steady_clock;
  void renew();
  void leave(const ChainSpec& chain);
  void write_if_older_than(double age_s);
  void write();
  void update_pace();

  std::mutex mutex_;  ///< of all that follows
  std::condition_variable ends_;
  bool ending_ = false;
  std::filesystem::path file_;
  const Plan& plan_;
  RunStatus status_;
  std::map<int64_t, ChainStatus> in_work_;    ///< by index
  std::map<int64_t, double> share_at_start_;  ///< of chains in work, when first heard of
  std::map<int64_t, double> left_share_;      ///< of chains that were left unfinished
  double cost_ = 0;                           ///< of the plan
  double finished_cost_ = 0;
  double done_here_ = 0;  ///< cost of what this start has finished
  Clock::time_point start_ = Clock::now();
  std::optional<Clock::time_point> last_write_;
  double write_s_ = 0;  ///< what the last write took
  bool warned_ = false;
  std::thread renewal_;  ///< last: it uses the rest
};

std::string to_json_text(const RunStatus& status);
/// @throws Error kData naming the file when it can't be read or parsed.
RunStatus read_status(const std::filesystem::path& file);

/// A run as text, from status.json and the journal: how far it is, when it will end, what each rank
/// does, what failed. Reads only; the run may be under way, on this host or another.
/// @param now_s since 1970
/// @throws Error kData when the directory holds no run, or its files are damaged.
std::string describe_run(const RunDirectory& directory, double now_s);

}  // namespace baleen
