#include "experiments/sweep/sweep_supply.h"

#include <algorithm>

#include "core/base/logging.h"

namespace baleen {

using Kind = JournalRecord::Kind;

SweepSupply::SweepSupply(const PreparedSweep& sweep, Journal& journal)
    : sweep_(sweep), journal_(journal), state_(sweep.rules) {
  for (const JournalRecord& record : journal.state().records) state_.apply(record);
}

/// Puts a decision into the journal, then acts on it.
void SweepSupply::decide(JournalRecord record) {
  const auto number = static_cast<size_t>(record.trial);
  const Trial& trial = *sweep_.trials[number].trial;
  if (record.kind == Kind::kTrialDrawn) {
    for (size_t a = 0; a < sweep_.spec->axes.size(); ++a)
      record.values[sweep_.spec->axes[a].key] = trial.values[a];
  }
  journal_.append(record);
  state_.apply(record);
  if (record.kind == Kind::kTrialPromoted)
    log_info("trial {} goes on to rung {} with {} {:.4f}", trial.name, record.rung,
             sweep_.rules.metric, record.score);
}

int64_t SweepSupply::urgency(int64_t trial, size_t chain) const {
  if (sweep_.rules.halving) return std::min(state_.rung(trial), kMostUrgent);
  if (sweep_.rules.stopping.kind == "none") return 0;
  const int64_t fold = sweep_.rules.trials[static_cast<size_t>(trial)][chain].fold;
  return std::max<int64_t>(0, kMostUrgent - fold);
}

void SweepSupply::release(int64_t trial, std::vector<ReleasedChain>& released) const {
  const int64_t first = sweep_.trials[static_cast<size_t>(trial)].first_chain;
  for (const auto& [chain, until] : state_.open_chains(trial))
    released.push_back({first + static_cast<int64_t>(chain), until, urgency(trial, chain)});
}

std::vector<ReleasedChain> SweepSupply::more() {
  std::vector<ReleasedChain> released;
  if (!resumed_) {
    resumed_ = true;
    stop_poor_trials();
    for (int64_t t = 0; t < state_.num_trials(); ++t) release(t, released);
  }
  // A promoted trial may have nothing left to train: its chains ended early.
  while (released.empty() || !sweep_.rules.halving) {
    const std::optional<JournalRecord> decision = state_.next();
    if (!decision) break;
    decide(*decision);
    release(decision->trial, released);
  }
  return released;
}

bool SweepSupply::has_more() const {
  if (state_.next()) return true;
  if (resumed_) return false;
  for (int64_t t = 0; t < state_.num_trials(); ++t)
    if (!state_.open_chains(t).empty()) return true;
  return false;
}

void SweepSupply::heard(const JournalRecord& record) {
  state_.apply(record);
  if (record.kind == Kind::kChainFinished) stop_poor_trials();
}

void SweepSupply::stop_poor_trials() {
  while (std::optional<JournalRecord> decision = state_.stop()) {
    const int64_t trial = decision->trial;
    log_info("trial {} is stopped after {} folds: {} {:.4f}, the others' median is {:.4f}",
             sweep_.trials[static_cast<size_t>(trial)].trial->name, decision->folds,
             sweep_.rules.metric, decision->score, decision->median);
    drop_chains(trial);
    decide(std::move(*decision));
  }
}

void SweepSupply::drop_chains(int64_t trial) {
  const int64_t first = sweep_.trials[static_cast<size_t>(trial)].first_chain;
  for (const auto& [chain, until] : state_.open_chains(trial))
    dropped_.push_back(first + static_cast<int64_t>(chain));
}

/// A trial that diverges is a poor trial, which is what a sweep is to find out.
bool SweepSupply::given_up(const ChainSpec& chain, const Error& error) {
  if (error.kind() != ErrorKind::kNumeric) return false;
  const int64_t number = sweep_.trial_of_chain.at(static_cast<size_t>(chain.index));
  if (state_.stopped_by(number)) return true;
  JournalRecord record;
  record.kind = Kind::kTrialStopped;
  record.trial = number;
  record.reason = "numeric";
  record.score = record.median = std::numeric_limits<double>::quiet_NaN();
  record.error_message = error.message();
  log_warning("trial {} is stopped: {}", sweep_.trials[static_cast<size_t>(number)].trial->name,
              error.message());
  drop_chains(number);
  std::erase(dropped_, chain.index);  // it has ended already
  decide(std::move(record));
  return true;
}

std::vector<int64_t> SweepSupply::take_dropped() { return std::exchange(dropped_, {}); }

}  // namespace baleen
