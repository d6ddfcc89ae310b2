#include "experiments/coordinator_worker.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <limits>
#include <thread>

#include "core/base/logging.h"
#include "core/base/stopwatch.h"

namespace baleen {
namespace {

using Clock = std::chrono::steady_clock;
using Kind = WorkerMessage::Kind;

constexpr int64_t kStepsPerWord = 16;
constexpr double kLeastPause_s = 0.1;
constexpr double kEarlyShare = 0.1;     // of a chain's age pass between two words while it is young
constexpr double kWaitForWork_s = 0.2;  // between looks at the stop flag while there is no work

/// Whether a chain that fails so takes only itself down.
bool stays_in_chain(ErrorKind kind) {
  return kind == ErrorKind::kData || kind == ErrorKind::kNumeric ||
         kind == ErrorKind::kConfiguration;
}

class Worker {
 public:
  Worker(const Plan& plan, ControlChannel& control, const MakeGroup& make_group,
         ChainExecutor& executor, const WorkerOptions& options)
      : plan_(plan),
        control_(control),
        make_group_(make_group),
        executor_(executor),
        options_(options) {}

  RunSummary run() {
    WorkerMessage hello;
    hello.host = options_.host;
    send(hello);
    for (;;) {
      Message message;
      while (!control_.receive(kTagToWorker, kWaitForWork_s, message)) pass_on_signal();
      const CoordinatorMessage order = decode_coordinator_message(message.bytes);
      if (order.kind == CoordinatorMessage::Kind::kFinish) {
        // Takes last messages, if there are any, out of the channel.
        stop_was_sent();
        leave_was_sent(order.chain);
        return order.summary;
      }
      train(order);
    }
  }

  /// Tells the coordinator that this rank is about to end the job.
  void report_fatal(const Error& error) noexcept {
    try {
      WorkerMessage message;
      message.kind = Kind::kFatal;
      message.error = error;
      send(message);
    } catch (...) {
      log_error("can't tell the coordinator: {}", current_error().what());
    }
  }

  void send(const WorkerMessage& message) {
    control_.send(kCoordinatorRank, kTagToCoordinator, encode(message));
  }

  const WorkerOptions& options() const { return options_; }

  bool stop_was_sent() {
    Message message;
    if (!stopping_ && control_.receive(kTagStop, 0, message)) stopping_ = true;
    return stopping_;
  }

  /// Words about chains that this rank has left already are out of date.
  bool leave_was_sent(int64_t chain) {
    Message message;
    while (control_.receive(kTagLeave, 0, message))
      left_ = std::strtoll(message.bytes.c_str(), nullptr, 10);
    return left_ == chain;
  }

  /// What the coordinator says; "go on" once it has told everybody to stop, as it may say no more.
  std::string answer_between_stages() {
    Message message;
    while (!control_.receive(kTagBetweenStages, kWaitForWork_s, message)) {
      pass_on_signal();
      if (stop_was_sent()) return kGoOn;
    }
    return message.bytes;
  }

  /// A signal may reach this process alone: the coordinator makes everybody stop.
  bool pass_on_signal() {
    if (signalled_) return true;
    if (!options_.stop_requested || !options_.stop_requested()) return false;
    signalled_ = true;
    WorkerMessage message;
    message.kind = Kind::kInterrupted;
    message.chain = -1;
    send(message);
    return true;
  }

 private:
  void train(const CoordinatorMessage& order);

  const Plan& plan_;
  ControlChannel& control_;
  const MakeGroup& make_group_;
  ChainExecutor& executor_;
  const WorkerOptions& options_;
  bool stopping_ = false;
  bool signalled_ = false;
  int64_t left_ = -1;  ///< the last chain that nobody needed any more
};

class WorkerSink final : public ProgressSink {
 public:
  WorkerSink(Worker& worker, const CoordinatorMessage& order, bool leads)
      : worker_(worker), chain_(order.chain), until_epoch_(order.until_epoch), leads_(leads) {}

  int64_t until_epoch() const override { return until_epoch_; }

  void progress(const ChainProgress& progress) override {
    if (!leads_) return;
    if (sent_ && progress.phase == last_.phase) {
      // Quick steps are told more often: slow ranks are to be seen within few of them. So are the
      // first seconds of a chain, which may be all there are.
      const double since_s = seconds_since(last_sent_);
      const bool many = progress.steps_done - last_.steps_done >= kStepsPerWord;
      const double least_s =
          many ? kLeastPause_s
               : std::clamp(kEarlyShare * seconds_since(start_), kLeastPause_s,
                            std::max(kLeastPause_s, worker_.options().progress_interval_s));
      if (since_s < least_s) return;
    }
    sent_ = true;
    last_sent_ = Clock::now();
    last_ = progress;
    WorkerMessage message;
    message.kind = Kind::kProgress;
    message.chain = chain_;
    message.progress = progress;
    worker_.send(message);
  }

  void notice(const Notice& notice) override {
    if (!leads_) return;
    WorkerMessage message;
    message.kind = Kind::kNotice;
    message.chain = chain_;
    message.notice = notice;
    worker_.send(message);
  }

  void end_run() override { ends_run_ = true; }
  bool ends_run() const { return ends_run_; }

  void stage_done(int64_t stage, double seconds,
                  const std::map<std::string, std::string>& digests) override {
    if (!leads_) return;
    WorkerMessage message;
    message.kind = Kind::kStageDone;
    message.chain = chain_;
    message.stage = stage;
    message.seconds = seconds;
    message.digests = digests;
    worker_.send(message);
  }

  bool wanted_back(int64_t stage) override {
    if (!leads_) return false;
    WorkerMessage question;
    question.kind = Kind::kAsksBetweenStages;
    question.chain = chain_;
    question.stage = stage;
    worker_.send(question);
    return worker_.answer_between_stages() == kHandBack;
  }

  bool stop_requested() override {
    const bool signalled = worker_.pass_on_signal();
    const bool left = worker_.leave_was_sent(chain_);
    return worker_.stop_was_sent() || left || signalled;
  }

 private:
  Worker& worker_;
  int64_t chain_;
  int64_t until_epoch_;
  bool leads_;
  bool sent_ = false;
  bool ends_run_ = false;
  Clock::time_point start_ = Clock::now();
  Clock::time_point last_sent_;
  ChainProgress last_;
};

void Worker::train(const CoordinatorMessage& order) {
  const ChainSpec& chain = plan_.chains.at(static_cast<size_t>(order.chain));
  const Clock::time_point start = Clock::now();
  const std::shared_ptr<Communicator> group = make_group_(order.members, order.group_tag);
  WorkerSink sink(*this, order, group->rank() == 0);
  WorkerMessage report;
  report.chain = order.chain;
  try {
    ChainOutcome outcome = executor_.run(chain, *group, sink);
    report.kind = outcome.paused        ? Kind::kPaused
                  : outcome.handed_back ? Kind::kHandedBack
                                        : Kind::kChainDone;
    if (group->rank() == 0) report.outcome = std::move(outcome);
  } catch (const PeerFailed&) {
    report.kind = Kind::kChainFailed;
  } catch (...) {
    Error error = current_error();
    error.add_context("chain " + chain.name);
    if (error.kind() == ErrorKind::kInterrupted) {
      report.kind = Kind::kInterrupted;
    } else if (stays_in_chain(error.kind())) {
      log_error("{}", error.what());
      report.kind = Kind::kChainFailed;
      report.error = std::move(error);
      report.ends_run = sink.ends_run();
    } else {
      throw error;  // the group is in no state to be closed
    }
  }
  group->close();
  report.seconds = seconds_since(start);
  send(report);
}

}  // namespace

RunSummary run_worker(const Plan& plan, ControlChannel& control, const MakeGroup& make_group,
                      ChainExecutor& executor, const WorkerOptions& options) {
  Worker worker(plan, control, make_group, executor, options);
  try {
    return worker.run();
  } catch (...) {
    const Error error = current_error();
    worker.report_fatal(error);
    throw error;
  }
}

RunSummary run_chains(const Plan& plan, Journal* journal, ControlChannel& control,
                      const MakeGroup& make_group, ChainExecutor& executor,
                      const WorkerOptions& worker, const CoordinatorOptions& coordinator) {
  if (worker.rank != kCoordinatorRank)
    return run_worker(plan, control, make_group, executor, worker);
  if (!journal) throw Error(ErrorKind::kInternal, "the coordinator needs a journal");
  Coordinator coordination(plan, *journal, control, coordinator);
  std::thread thread([&] { coordination.run(); });
  try {
    RunSummary summary = run_worker(plan, control, make_group, executor, worker);
    thread.join();
    return summary;
  } catch (...) {
    coordination.abandon();
    thread.join();
    throw;
  }
}

}  // namespace baleen
