#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "core/base/console.h"

namespace baleen {

struct ProgressOptions {
  enum class Mode {
    kAuto,   ///< live on a terminal, plain elsewhere
    kLive,   ///< bars, redrawn in place
    kPlain,  ///< now and then a line
    kOff,
  };
  Mode mode = Mode::kAuto;
  double redraw_interval_s = 0.1;   ///< live: time between two redraws, at least
  double plain_interval_s = 30;     ///< plain: a line per chain after this time …
  double plain_fraction = 0.1;      ///< … or after this part of the chain,
  double plain_min_interval_s = 2;  ///< but never sooner than this
  bool unicode = false;             ///< bars of block characters
};

/// The run as a whole. Costs are in any unit, expected seconds for instance; they weigh chains
/// against each other.
struct RunDisplay {
  std::string name;
  int64_t num_chains = 0;
  int64_t num_finished = 0;  ///< before this start: a resumed run begins here
  double total_cost = 0;     ///< of all chains; 0: each chain counts 1
  double finished_cost = 0;  ///< of those finished before this start
};

/// Where one chain is, as its first rank reports it.
struct ChainDisplay {
  std::string phase;         ///< what it does, e.g. "stage 2/2, 96 px" or "predicting"
  int64_t epoch = 0;         ///< the current one, from 1; 0: not in an epoch
  int64_t num_epochs = 0;    ///< of this stage
  int64_t step = 0;          ///< steps done in this epoch
  int64_t num_steps = 0;     ///< steps of this epoch
  int64_t num_samples = 0;   ///< images since this chain was begun or resumed; never falls
  double samples_per_s = 0;  ///< as the sender measured it; 0: measured here from num_samples
  double fraction = 0;       ///< of the whole chain done, in [0, 1]
  std::string note;          ///< e.g. "loss 0.1234"
};

/// Shows how far a run is: run, chains, and the epoch within, with bars, rates and the time left at
/// the measured pace.
///
/// Lives on rank 0 and is fed with its own chains and those of other ranks. On a terminal a live
/// area is redrawn in place below the log; elsewhere plain lines are logged at sensible intervals.
/// Calls cost microseconds unless they draw. Any thread may call.
class Progress {
 public:
  using Clock = std::function<double()>;                     ///< seconds, monotonic
  using LineSink = std::function<void(const std::string&)>;  ///< takes the plain lines

  /// Shows on standard error, plain lines through log_info(), real time.
  explicit Progress(ProgressOptions options);
  Progress(Console& console, LineSink plain_lines, Clock clock, ProgressOptions options);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void begin_run(const RunDisplay& run);
  /// @param chain e.g. "resnet18/fold2"
  /// @param where who trains it, e.g. "rank 1 hostb"
  /// @param cost  in the unit of RunDisplay::total_cost
  void begin_chain(const std::string& chain, const std::string& where, double cost = 1);
  /// Unknown chains are ignored: late messages may arrive after the end.
  void update_chain(const std::string& chain, const ChainDisplay& progress);
  /// @param finished false when it failed or will be continued elsewhere: it then counts as not
  /// done
  void end_chain(const std::string& chain, bool finished);
  /// Takes the live area away.
  void end_run();

 private:
  struct Chain {
    std::string where;
    double cost = 1;
    ChainDisplay latest;
    double began_s = 0;
    double began_fraction = 0;  ///< of the first report: a resumed chain starts late
    bool reported = false;
    double epoch_began_s = 0;
    int64_t epoch_began_step = 0;
    double rate = 0;           ///< samples per second, smoothed
    double rate_s = 0;         ///< when the rate was last taken …
    int64_t rate_samples = 0;  ///< … and at how many samples
    double line_s = 0;         ///< last plain line
    double line_fraction = 0;
  };

  bool live() const;
  double run_fraction() const;
  std::string run_figures(double now) const;
  std::string epoch_figures(const Chain& chain, double now) const;
  std::vector<std::string> draw(double now) const;
  void redraw(double now, bool at_once);
  void maybe_print(const std::string& name, Chain& chain, double now);
  double chain_time_left(const Chain& chain, double now) const;

  Console& console_;
  LineSink plain_lines_;
  Clock clock_;
  ProgressOptions options_;

  std::mutex mutex_;
  bool running_ = false;
  RunDisplay run_;
  double run_began_s_ = 0;
  double run_began_fraction_ = 0;
  double drawn_s_ = -1e300;
  std::map<std::string, Chain> chains_;  ///< those in work, by name
};

}  // namespace baleen
