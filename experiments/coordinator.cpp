#include "experiments/coordinator.h"

#include <algorithm>

#include "core/base/logging.h"

namespace baleen {
namespace {

// Group tags come round long after their group is gone, and stay far below MPI's upper bound.
constexpr int kNumGroupTags = 16384;

}  // namespace

Coordinator::Coordinator(const Plan& plan, Journal& journal, ControlChannel& control,
                         CoordinatorOptions options)
    : plan_(plan),
      journal_(journal),
      control_(control),
      options_(std::move(options)),
      hosts_(static_cast<size_t>(options_.num_ranks)) {
  rates_ = measured_rates(plan_, journal_.state());
  extents_.resize(plan_.chains.size());
  for (const ChainSpec& chain : plan_.chains) {
    if (journal_.state().finished_chains.count(chain.name) > 0) {
      ++summary_.num_known;
      continue;
    }
    if (!options_.supply) waiting_.push_back(chain.index);
    extents_[static_cast<size_t>(chain.index)].epochs_done = epochs_done(chain, journal_.state());
  }
}

RunSummary Coordinator::run() {
  try {
    coordinate();
    if (abandoned_ && !fatal_) return summary_;  // nobody is left to be told
  } catch (...) {
    fatal_ = current_error();
    summary_.fatal_rank = kCoordinatorRank;
    fatal_->add_context("coordinating the run on rank 0");
    log_error("{}", fatal_->what());
  }
  summary_.fatal = fatal_;
  const bool work_is_left = !waiting_.empty() || (options_.supply && options_.supply->has_more());
  summary_.interrupted = stopping_ && !fatal_ && !ended_by_ && work_is_left;
  summary_.cut_short = ended_by_.has_value();
  if (fatal_) {
    summary_.exit_code = exit_code(fatal_->kind());
  } else if (ended_by_) {
    summary_.exit_code = exit_code(ended_by_->kind());
  } else if (summary_.interrupted) {
    summary_.exit_code = exit_code(ErrorKind::kInterrupted);
  } else if (!summary_.failed.empty()) {
    summary_.exit_code = exit_code(summary_.failed.front().error.kind());
  }
  try {
    if (fatal_) request_stop();
    CoordinatorMessage finish;
    finish.summary = summary_;
    for (int rank = 0; rank < options_.num_ranks; ++rank) send(rank, finish);
  } catch (...) {
    log_error("can't tell the ranks that the run is over: {}", current_error().what());
  }
  return summary_;
}

void Coordinator::coordinate() {
  for (;;) {
    if (!stopping_ && options_.stop_requested && options_.stop_requested()) request_stop();

    // All that has arrived is taken in before the next decision: ranks that become idle together
    // can form a group.
    Message message;
    for (double wait_s = options_.poll_s; control_.receive(kTagToCoordinator, wait_s, message);
         wait_s = 0) {
      handle(message.source, decode_worker_message(message.bytes));
      if (fatal_) return;
    }
    if (abandoned_) return;
    const bool everyone_is_here = std::none_of(
        hosts_.begin(), hosts_.end(), [](const std::string& host) { return host.empty(); });
    if (!everyone_is_here) continue;
    drop_unneeded();
    if (!stopping_) {
      refill();
      assign();
    }
    if (running_.empty() && (waiting_.empty() || stopping_)) return;
  }
}

void Coordinator::handle(int rank, WorkerMessage message) {
  using Kind = WorkerMessage::Kind;
  switch (message.kind) {
    case Kind::kIdle:
      hosts_[static_cast<size_t>(rank)] = message.host.empty() ? "?" : message.host;
      idle_.push_back(rank);
      return;
    case Kind::kFatal:
      fatal_ = message.error;
      summary_.fatal_rank = rank;
      if (fatal_)
        fatal_->add_context(
            fmt::format("rank {} on host {}", rank, hosts_[static_cast<size_t>(rank)]));
      else
        fatal_ = Error(ErrorKind::kInternal, fmt::format("rank {} ended the job", rank));
      return;
    case Kind::kNotice:
      if (message.notice.rank < 0) message.notice.rank = rank;
      notice(message.chain < 0 ? "" : plan_.chains[static_cast<size_t>(message.chain)].name,
             message.notice);
      return;
    default:
      break;
  }
  if (message.kind == Kind::kInterrupted &&
      message.chain < 0) {  // a signal reached that rank alone
    request_stop();
    return;
  }
  const auto found = running_.find(message.chain);
  if (found == running_.end()) {
    throw Error(
        ErrorKind::kInternal,
        fmt::format("rank {} reports about chain {}, which is not running", rank, message.chain));
  }
  Running& run = found->second;
  const ChainSpec& chain = plan_.chains[static_cast<size_t>(message.chain)];
  if (message.kind == Kind::kProgress) {
    const double fraction =
        chain.share_done(message.progress.steps_done, message.progress.predicted);
    if (run.first_fraction < 0) {  // a resumed chain does not start at 0
      run.first_fraction = fraction;
      run.first_progress = Clock::now();
    }
    run.fraction = fraction;
    for (CoordinatorObserver* observer : options_.observers)
      observer->chain_progress(chain, message.progress);
    watch_pace(chain, run, message.progress);
  } else if (message.kind == Kind::kStageDone) {
    JournalRecord record;
    record.kind = JournalRecord::Kind::kStageFinished;
    record.name = chain.name;
    record.ranks = run.members;
    record.stage = message.stage;
    record.seconds = message.seconds;
    record.digests = std::move(message.digests);
    journal_.append(std::move(record));
    extents_[static_cast<size_t>(chain.index)].epochs_done =
        chain.epochs_of_stages(message.stage + 1);
  } else if (message.kind == Kind::kAsksBetweenStages) {
    answer_between_stages(rank, message);
  } else {
    const int64_t index = message.chain;
    run.reports[rank] = std::move(message);
    if (run.reports.size() == run.members.size()) close_chain(index);
  }
}

/// The chain stands between two stages: it comes back when a larger group would be clearly faster.
void Coordinator::answer_between_stages(int rank, const WorkerMessage& question) {
  bool hand_back = false;
  if (!stopping_) {
    const SchedulingState now = state();
    const auto chain =
        std::find_if(now.running.begin(), now.running.end(),
                     [&](const RunningChain& running) { return running.chain == question.chain; });
    hand_back = running_.at(question.chain).called_off ||
                worth_regrouping(*chain, now, plan_.regroup_gain_s);
  }
  control_.send(rank, kTagBetweenStages, hand_back ? kHandBack : kGoOn);
}

void Coordinator::close_chain(int64_t index) {
  using Kind = WorkerMessage::Kind;
  const Running run = std::move(running_.at(index));
  running_.erase(index);
  idle_.insert(idle_.end(), run.members.begin(), run.members.end());

  bool interrupted = false;
  bool failed = false;
  bool handed_back = false;
  bool ends_run = false;
  bool paused = false;
  const WorkerMessage* cause = nullptr;
  for (const auto& [rank, report] : run.reports) {
    interrupted = interrupted || report.kind == Kind::kInterrupted;
    failed = failed || report.kind == Kind::kChainFailed;
    handed_back = handed_back || report.kind == Kind::kHandedBack;
    ends_run = ends_run || report.ends_run;
    paused = paused || report.kind == Kind::kPaused;
    if (!cause && report.kind == Kind::kChainFailed && report.error) cause = &report;
  }
  if (failed) {
    const auto seen_by = std::find_if(run.reports.begin(), run.reports.end(),
                                      [&](const auto& entry) { return &entry.second == cause; });
    const Error error =
        cause ? *cause->error
              : Error(ErrorKind::kInternal, "every member says that another one failed");
    fail_chain(index, run, error, cause ? seen_by->first : run.members.front(), ends_run);
  } else if (interrupted) {
    // A group that was called off leaves in the same way as one that a signal stops.
    leave_chain(index, run);
    if (!run.called_off) request_stop();
  } else if (handed_back) {
    leave_chain(index, run);
  } else if (paused) {
    pause_chain(index, run, run.reports.at(run.members.front()).outcome);
  } else {
    const ChainOutcome& outcome = run.reports.at(run.members.front()).outcome;
    const ChainSpec& chain = plan_.chains[static_cast<size_t>(index)];
    if (outcome.optimizer_steps != chain.steps() && !outcome.stopped_early) {
      fail_chain(index, run,
                 Error(ErrorKind::kInternal,
                       fmt::format("it ended after {} optimizer steps, {} are planned",
                                   outcome.optimizer_steps, chain.steps())),
                 run.members.front(), /*ends_run=*/false);
    } else {
      finish_chain(index, run, outcome);
    }
  }
}

void Coordinator::leave_chain(int64_t index, const Running& run) {
  if (!run.called_off) waiting_.push_back(index);
  for (CoordinatorObserver* observer : options_.observers)
    observer->chain_left(plan_.chains[static_cast<size_t>(index)]);
}

/// It has reached the epoch it was wanted to: the supply says whether it goes on from there.
void Coordinator::pause_chain(int64_t index, const Running& run, const ChainOutcome& outcome) {
  const ChainSpec& chain = plan_.chains[static_cast<size_t>(index)];
  Extent& extent = extents_[static_cast<size_t>(index)];
  JournalRecord record;
  record.kind = JournalRecord::Kind::kChainPaused;
  record.name = chain.name;
  record.ranks = run.members;
  record.seconds = run.reports.at(run.members.front()).seconds;
  record.epochs = extent.until_epoch;
  record.optimizer_steps = outcome.optimizer_steps;
  record.metrics = outcome.metrics;
  journal_.append(record);
  learn_rate(chain, run, record.seconds, end_fraction(chain));
  extent.epochs_done = extent.until_epoch;
  for (CoordinatorObserver* observer : options_.observers) observer->chain_left(chain);
  if (options_.supply) options_.supply->heard(record);
}

void Coordinator::finish_chain(int64_t index, const Running& run, const ChainOutcome& outcome) {
  const ChainSpec& chain = plan_.chains[static_cast<size_t>(index)];
  const double seconds = run.reports.at(run.members.front()).seconds;
  JournalRecord record;
  record.kind = JournalRecord::Kind::kChainFinished;
  record.name = chain.name;
  record.ranks = run.members;
  record.seconds = seconds;
  record.optimizer_steps = outcome.optimizer_steps;
  record.digests = outcome.digests;
  record.metrics = outcome.metrics;
  journal_.append(record);
  ++summary_.num_finished;
  if (!outcome.stopped_early) learn_rate(chain, run, seconds, 1);
  for (CoordinatorObserver* observer : options_.observers)
    observer->chain_finished(chain, outcome, seconds);
  if (options_.supply) options_.supply->heard(record);
}

void Coordinator::fail_chain(int64_t index, const Running& run, const Error& error, int rank,
                             bool ends_run) {
  const ChainSpec& chain = plan_.chains[static_cast<size_t>(index)];
  Failure& failure = failures_[index];
  ++failure.count;
  failure.ranks.insert(failure.ranks.end(), run.members.begin(), run.members.end());
  // What a recipe gets wrong stays wrong on any rank; that a trial diverges is what sweeps find
  // out.
  const bool retry = failure.count <= options_.retries &&
                     error.kind() != ErrorKind::kConfiguration && !ends_run &&
                     !(options_.supply && error.kind() == ErrorKind::kNumeric);
  const bool dropped = run.called_off;
  JournalRecord record;
  record.kind = JournalRecord::Kind::kChainFailed;
  record.name = chain.name;
  record.ranks = run.members;
  record.rank = rank;
  record.error_kind = name_of(error.kind());
  record.error_message = error.what();
  record.set_aside = !retry && !dropped;
  journal_.append(std::move(record));
  if (retry && !dropped) {
    waiting_.push_back(index);
  } else if (ends_run ||
             (!dropped && !(options_.supply && options_.supply->given_up(chain, error)))) {
    // What ends the run, a host that can't be trusted, says nothing about a trial.
    summary_.failed.push_back({chain.name, error, rank, hosts_[static_cast<size_t>(rank)]});
  }
  if (ends_run) {
    if (!ended_by_) ended_by_ = error;
    request_stop();
  }
  for (CoordinatorObserver* observer : options_.observers)
    observer->chain_failed(chain, error, rank, retry && !dropped);
}

/// Chains for ranks that would have nothing to do.
void Coordinator::refill() {
  while (options_.supply && idle_.size() > waiting_.size()) {
    const std::vector<ReleasedChain> released = options_.supply->more();
    if (released.empty()) return;
    for (const ReleasedChain& chain : released) {
      Extent& extent = extents_.at(static_cast<size_t>(chain.chain));
      extent.until_epoch = chain.until_epoch;
      extent.urgency = std::clamp<int64_t>(chain.urgency, 0, kMostUrgent);
      waiting_.push_back(chain.chain);
    }
  }
}

void Coordinator::drop_unneeded() {
  if (!options_.supply) return;
  for (const int64_t index : options_.supply->take_dropped()) {
    std::erase(waiting_, index);
    if (const auto running = running_.find(index); running != running_.end()) {
      running->second.called_off = true;
      for (const int rank : running->second.members)
        control_.send(rank, kTagLeave, std::to_string(index));
    }
    for (CoordinatorObserver* observer : options_.observers)
      observer->chain_dropped(plan_.chains[static_cast<size_t>(index)]);
  }
}

void Coordinator::assign() {
  if (idle_.empty() || waiting_.empty()) return;
  for (const Assignment& assignment : schedule(state())) {
    const ChainSpec& chain = plan_.chains[static_cast<size_t>(assignment.chain)];
    JournalRecord record;
    record.kind = JournalRecord::Kind::kChainAssigned;
    record.name = chain.name;
    record.ranks = assignment.members;
    journal_.append(std::move(record));

    waiting_.erase(std::find(waiting_.begin(), waiting_.end(), assignment.chain));
    for (int rank : assignment.members) idle_.erase(std::find(idle_.begin(), idle_.end(), rank));
    Running& run = running_[assignment.chain];
    run.members = assignment.members;
    run.start = Clock::now();
    run.cost_ahead = cost_left(chain);

    CoordinatorMessage message;
    message.kind = CoordinatorMessage::Kind::kAssign;
    message.chain = assignment.chain;
    message.members = assignment.members;
    message.until_epoch = extents_[static_cast<size_t>(assignment.chain)].until_epoch;
    message.group_tag = next_tag_;
    next_tag_ = (next_tag_ + 1) % kNumGroupTags;
    for (int rank : assignment.members) send(rank, message);
    for (CoordinatorObserver* observer : options_.observers)
      observer->chain_started(chain, assignment.members);
  }
}

void Coordinator::request_stop() {
  if (stopping_) return;
  stopping_ = true;
  log_info("stopping: chains in training write a checkpoint and end");
  for (int rank = 0; rank < options_.num_ranks; ++rank) control_.send(rank, kTagStop, "stop");
}

void Coordinator::send(int rank, const CoordinatorMessage& message) {
  control_.send(rank, kTagToWorker, encode(message));
}

}  // namespace baleen
