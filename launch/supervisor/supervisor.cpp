#include "launch/supervisor/supervisor.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <optional>
#include <thread>

#include "core/base/error.h"
#include "core/base/format.h"
#include "core/base/lock_file.h"
#include "core/base/logging.h"
#include "core/base/stopwatch.h"
#include "experiments/failure.h"
#include "experiments/run_directory.h"
#include "launch/supervisor/child_process.h"
#include "launch/supervisor/launch_record.h"
#include "launch/supervisor/progress.h"

namespace baleen {
namespace {

constexpr double kPollS = 0.1;
constexpr double kEndS = 10;        // mpirun gets after SIGTERM, before SIGKILL
constexpr double kLeftoversS = 60;  // ranks get to notice that their mpirun is gone; then the next
                                    // ones wait for their lock

std::string signal_name(int signal) {
  const char* name = sigabbrev_np(signal);
  return std::string("SIG") + (name ? name : "?");
}

/// Signals that mean "end" are fetched one by one instead of interrupting anything.
class SignalGate {
 public:
  SignalGate() {
    sigemptyset(&signals_);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2})
      sigaddset(&signals_, signal);
    pthread_sigmask(SIG_BLOCK, &signals_, &before_);
  }
  ~SignalGate() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalGate(const SignalGate&) = delete;
  SignalGate& operator=(const SignalGate&) = delete;

  /// The next signal, or 0 within kPollS.
  int next() const {
    timespec limit{0, static_cast<long>(kPollS * 1e9)};
    const int signal = sigtimedwait(&signals_, nullptr, &limit);
    return signal > 0 ? signal : 0;
  }

 private:
  sigset_t signals_;
  sigset_t before_;
};

class Supervisor {
 public:
  explicit Supervisor(const SuperviseRequest& request)
      : request_(request),
        directory_(request.run_directory),
        record_(request.run_directory),
        policy_(request.restart) {}

  int run() {
    for (int start = 1;; ++start) {
      const ProgressMark before = read_progress(request_.run_directory);
      const int code = run_once(start);
      record_.flush();
      const Outcome outcome = judge(code);
      // Ranks that were still starting had no handler yet: nothing ran, nothing is lost.
      if (asked_to_stop_ && code == 128 + SIGUSR1) return exit_code(ErrorKind::kInterrupted);
      if (asked_to_stop_ || outcome.done) return code;
      const bool progressed = read_progress(request_.run_directory).is_beyond(before);
      const RestartPolicy::Decision decision = policy_.after(code, progressed);
      if (!decision.restart) {
        give_up(code, outcome);
        return code;
      }
      log_warning(
          "{} (exit code {}){}: start {} follows in {}, the {} in a row without progress "
          "of at most {}",
          outcome.meaning, code, root_cause(), start + 1, format_duration(decision.wait_s),
          ordinal(decision.attempt), request_.restart.max_restarts);
      record_.add("waiting",
                  {{"seconds", decision.wait_s}, {"restarts_without_progress", decision.attempt}});
      if (!wait(decision.wait_s)) return exit_code(ErrorKind::kInterrupted);
    }
  }

 private:
  static std::string ordinal(int n) {
    return std::to_string(n) + (n == 1 ? "st" : n == 2 ? "nd" : n == 3 ? "rd" : "th");
  }

  /// The hosts that answer, with a word about those that don't or do again.
  std::vector<HostSlots> living_hosts() {
    const std::vector<HostSlots>& all = request_.mpirun.hosts;
    std::vector<HostSlots> alive = hosts_that_answer(all, request_.answers);
    const auto is_in = [](const std::vector<HostSlots>& list, const HostSlots& host) {
      return std::find(list.begin(), list.end(), host) != list.end();
    };
    for (const HostSlots& host : all) {
      const bool was_lost = is_in(lost_, host);
      const bool is_lost = !is_in(alive, host);
      if (is_lost && !was_lost) {
        log_warning("host {} does not answer: it is left out", host.name);
        record_.add("host_lost", {{"host", host.name}, {"ranks", host.slots}});
        lost_.push_back(host);
      } else if (!is_lost && was_lost) {
        log_info("host {} answers again: it takes part", host.name);
        record_.add("host_back", {{"host", host.name}, {"ranks", host.slots}});
        lost_.erase(std::find(lost_.begin(), lost_.end(), host));
      }
    }
    return alive;
  }

  int run_once(int start) {
    MpirunOptions options = request_.mpirun;
    if (!options.hosts.empty()) {
      options.hosts = living_hosts();
      if (options.hosts.empty()) {
        log_error("no host answers");
        return exit_code(ErrorKind::kCommunication);
      }
    }
    const std::vector<std::string> words =
        mpirun_command(options, request_.topology, variable_names(),
                       start > 1 && !request_.again.empty() ? request_.again : request_.command);
    log_info("start {}: {}", start, paste_ready(words));
    record_.add("started", {{"start", start}, {"command", paste_ready(words)}});
    const Stopwatch watch;
    ChildProcess child(words);
    const int code = wait_for(child);
    record_.add("ended", {{"start", start},
                          {"exit_code", code},
                          {"seconds", watch.elapsed_s()},
                          {"meaning", judge(code).meaning},
                          {"cause", root_cause()}});
    return code;
  }

  /// Waits for mpirun, handing on signals.
  int wait_for(ChildProcess& child) {
    std::optional<Stopwatch> ending;
    while (!child.ended()) {
      record_.flush();
      if (const int signal = gate_.next()) {
        note(signal);
        if (!asked_to_stop_) {
          // Open MPI hands SIGUSR1 on to the ranks; SIGTERM would make it end them itself.
          log_warning("{}: asking the ranks to save and leave; a second signal ends them",
                      signal_name(signal));
          asked_to_stop_ = true;
          child.send(SIGUSR1);
        } else if (!ending) {
          log_warning("{}: ending the ranks", signal_name(signal));
          ending.emplace();
          child.send(SIGTERM);
        }
      }
      if (ending && ending->elapsed_s() > kEndS) child.send(SIGKILL, true);
    }
    return child.exit_code();
  }

  void note(int signal) { record_.add("signal", {{"signal", signal_name(signal)}}); }

  /// Waits before a restart: the given time, and until no rank of the last start holds the run any
  /// more.
  /// @returns false when a signal came
  bool wait(double seconds) {
    const Stopwatch watch;
    bool told = false;
    while (true) {
      if (const int signal = gate_.next()) {
        note(signal);
        log_warning("{} between two starts: nothing runs, nothing is lost", signal_name(signal));
        return false;
      }
      const double waited_s = watch.elapsed_s();
      if (waited_s < seconds) continue;
      if (!is_locked(directory_.lock()) || waited_s > seconds + kLeftoversS) return true;
      if (!told) log_info("waiting for processes of the last start to end");
      told = true;
    }
  }

  /// ": …" from failure.json, which the ranks wrote.
  std::string root_cause() const {
    const std::optional<RootCause> cause = read_root_cause(directory_.failure());
    return cause ? ": " + cause->describe() : std::string();
  }

  void give_up(int code, const Outcome& outcome) {
    log_error("giving up: {} (exit code {}){}", outcome.meaning, code,
              outcome.mendable ? fmt::format(" after {} restarts without progress",
                                             request_.restart.max_restarts)
                               : "");
    record_.add("gave_up", {{"exit_code", code}, {"meaning", outcome.meaning}});
  }

  const SuperviseRequest& request_;
  RunDirectory directory_;
  LaunchRecord record_;
  RestartPolicy policy_;
  SignalGate gate_;
  std::vector<HostSlots> lost_;
  bool asked_to_stop_ = false;
};

}  // namespace

int supervise(const SuperviseRequest& request) { return Supervisor(request).run(); }

}  // namespace baleen
