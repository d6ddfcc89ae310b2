#include "experiments/sweep/sweep_state.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace baleen {
namespace {

using Kind = JournalRecord::Kind;

constexpr double kWorst = -std::numeric_limits<double>::infinity();

double mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : mean({values[middle - 1], values[middle]});
}

}  // namespace

const char* name_of(TrialPhase phase) {
  switch (phase) {
    case TrialPhase::kPlanned:
      return "planned";
    case TrialPhase::kRunning:
      return "running";
    case TrialPhase::kPaused:
      return "paused";
    case TrialPhase::kFinished:
      return "finished";
    case TrialPhase::kStopped:
      return "stopped";
    case TrialPhase::kFailed:
      return "failed";
  }
  return "unknown";
}

SweepState::SweepState(SweepRules rules) : rules_(std::move(rules)) {
  trials_.resize(rules_.trials.size());
  for (size_t t = 0; t < trials_.size(); ++t) {
    const std::vector<SweepRules::Chain>& chains = rules_.trials[t];
    trials_[t].chains.resize(chains.size());
    for (size_t c = 0; c < chains.size(); ++c) {
      trials_[t].chains[c].scores.resize(static_cast<size_t>(rules_.num_rungs));
      chains_[chains[c].name] = {static_cast<int64_t>(t), c};
    }
  }
}

std::pair<int64_t, size_t> SweepState::find(const std::string& chain) const {
  const auto found = chains_.find(chain);
  return found == chains_.end() ? std::pair<int64_t, size_t>{-1, 0} : found->second;
}

/// Larger is better; what is not a number is worse than anything.
double SweepState::value_of(const JournalRecord& record) const {
  const auto found = record.metrics.find(rules_.metric);
  if (found == record.metrics.end() || std::isnan(found->second)) return kWorst;
  return rules_.larger_is_better ? found->second : -found->second;
}

void SweepState::apply(const JournalRecord& record) {
  switch (record.kind) {
    case Kind::kTrialDrawn:
    case Kind::kTrialPromoted:
    case Kind::kTrialStopped: {
      if (record.trial < 0 || record.trial >= num_trials()) return;
      TrialState& trial = trials_[static_cast<size_t>(record.trial)];
      trial.drawn = true;
      if (record.kind == Kind::kTrialPromoted)
        trial.rung = std::clamp<int64_t>(record.rung, 0, rules_.num_rungs - 1);
      if (record.kind == Kind::kTrialStopped) trial.stopped = record;
      return;
    }
    case Kind::kChainPaused:
    case Kind::kChainFinished: {
      const auto [t, c] = find(record.name);
      if (t < 0) return;
      ChainState& chain = trials_[static_cast<size_t>(t)].chains[c];
      const std::vector<int64_t>& until = rules_.trials[static_cast<size_t>(t)][c].until_epoch;
      const double value = value_of(record);
      if (record.kind == Kind::kChainFinished) {
        // Its last score stands for every rung that it did not stop at.
        chain.finished = true;
        for (std::optional<double>& score : chain.scores) score = score.value_or(value);
        return;
      }
      for (size_t k = until.size(); k-- > 0;) {
        if (until[k] == 0 || until[k] > record.epochs) continue;
        chain.scores[k] = value;
        return;
      }
      return;
    }
    default:
      return;
  }
}

std::vector<std::pair<size_t, int64_t>> SweepState::open_chains(int64_t number) const {
  const TrialState& trial = trials_[static_cast<size_t>(number)];
  std::vector<std::pair<size_t, int64_t>> open;
  if (!trial.drawn || trial.stopped) return open;
  const auto rung = static_cast<size_t>(trial.rung);
  for (size_t c = 0; c < trial.chains.size(); ++c) {
    const int64_t until = rules_.trials[static_cast<size_t>(number)][c].until_epoch[rung];
    const ChainState& chain = trial.chains[c];
    if (!chain.finished && (until == 0 || !chain.scores[rung])) open.emplace_back(c, until);
  }
  return open;
}

TrialPhase SweepState::phase(int64_t number) const {
  const TrialState& trial = trials_[static_cast<size_t>(number)];
  const bool finished = std::all_of(trial.chains.begin(), trial.chains.end(),
                                    [](const ChainState& chain) { return chain.finished; });
  if (finished) return TrialPhase::kFinished;
  if (trial.stopped) return TrialPhase::kStopped;
  if (!trial.drawn) return TrialPhase::kPlanned;
  return open_chains(number).empty() ? TrialPhase::kPaused : TrialPhase::kRunning;
}

const JournalRecord* SweepState::stopped_by(int64_t trial) const {
  const std::optional<JournalRecord>& stopped = trials_[static_cast<size_t>(trial)].stopped;
  return stopped ? &*stopped : nullptr;
}

/// Larger is better. A trial that was stopped in a rung is worse than any that got through it.
std::optional<double> SweepState::rung_score(const TrialState& trial, int64_t rung) const {
  std::vector<double> scores;
  for (const ChainState& chain : trial.chains) {
    const std::optional<double>& score = chain.scores[static_cast<size_t>(rung)];
    if (!score) return trial.stopped && trial.rung == rung ? std::optional(kWorst) : std::nullopt;
    scores.push_back(*score);
  }
  return mean(scores);
}

/// Algorithm 2 of Li et al. 2020: of the n trials that have a result in the rung, the best
/// n / reduction may go on; the best of them that has not yet.
/// @param any whether any of them may go on
std::optional<JournalRecord> SweepState::promotion(int64_t rung, bool any) const {
  std::vector<std::pair<double, int64_t>> results;  // negated, so that order is best first
  for (int64_t t = 0; t < num_trials(); ++t) {
    const TrialState& trial = trials_[static_cast<size_t>(t)];
    if (!trial.drawn || trial.rung < rung) continue;
    if (const std::optional<double> score = rung_score(trial, rung))
      results.emplace_back(-*score, t);
  }
  const size_t num_best =
      any ? results.size() : results.size() / static_cast<size_t>(rules_.reduction);
  std::sort(results.begin(), results.end());
  for (size_t i = 0; i < num_best; ++i) {
    const auto [negated, t] = results[i];
    const TrialState& trial = trials_[static_cast<size_t>(t)];
    if (trial.rung != rung || trial.stopped) continue;
    JournalRecord record;
    record.kind = Kind::kTrialPromoted;
    record.trial = t;
    record.rung = rung + 1;
    record.score = rules_.larger_is_better ? -negated : negated;
    return record;
  }
  return std::nullopt;
}

/// A rung with fewer than `reduction` results promotes none by the rule above, and where it is
/// complete never will: its best one goes on, or the sweep would end without a trained trial.
std::optional<JournalRecord> SweepState::last_resort() const {
  for (int64_t t = 0; t < num_trials(); ++t) {
    const TrialPhase now = phase(t);
    if (now == TrialPhase::kRunning || now == TrialPhase::kFinished) return std::nullopt;
  }
  for (int64_t rung = rules_.num_rungs - 2; rung >= 0; --rung) {
    if (std::optional<JournalRecord> record = promotion(rung, true)) return record;
  }
  return std::nullopt;
}

std::optional<JournalRecord> SweepState::next() const {
  for (int64_t rung = rules_.num_rungs - 2; rung >= 0; --rung) {
    if (std::optional<JournalRecord> record = promotion(rung, false)) return record;
  }
  for (int64_t t = 0; t < num_trials(); ++t) {
    if (trials_[static_cast<size_t>(t)].drawn) continue;
    JournalRecord record;
    record.kind = Kind::kTrialDrawn;
    record.trial = t;
    return record;
  }
  return last_resort();
}

std::map<int64_t, double> SweepState::goodness_by_fold(size_t number) const {
  const TrialState& trial = trials_[number];
  std::map<int64_t, std::vector<double>> scores;
  std::map<int64_t, bool> complete;
  for (size_t c = 0; c < trial.chains.size(); ++c) {
    const int64_t fold = rules_.trials[number][c].fold;
    complete.try_emplace(fold, true);
    if (trial.chains[c].finished) {
      scores[fold].push_back(trial.chains[c].scores.back().value_or(kWorst));
    } else {
      complete[fold] = false;
    }
  }
  std::map<int64_t, double> result;
  for (const auto& [fold, whole] : complete) {
    if (whole) result[fold] = mean(scores[fold]);
  }
  return result;
}

std::map<int64_t, double> SweepState::fold_scores(int64_t trial) const {
  std::map<int64_t, double> scores = goodness_by_fold(static_cast<size_t>(trial));
  if (!rules_.larger_is_better)
    for (auto& [fold, score] : scores) score = -score;
  return scores;
}

std::optional<JournalRecord> SweepState::stop() const {
  if (rules_.stopping.kind != "median") return std::nullopt;
  std::vector<std::map<int64_t, double>> by_fold;
  for (size_t t = 0; t < trials_.size(); ++t) by_fold.push_back(goodness_by_fold(t));
  for (int64_t t = 0; t < num_trials(); ++t) {
    const std::map<int64_t, double>& own = by_fold[static_cast<size_t>(t)];
    if (phase(t) != TrialPhase::kRunning || own.empty() ||
        std::ssize(own) < rules_.stopping.after_folds)
      continue;
    std::vector<double> own_scores, others;
    for (const auto& [fold, score] : own) own_scores.push_back(score);
    for (int64_t o = 0; o < num_trials(); ++o) {
      const std::map<int64_t, double>& theirs = by_fold[static_cast<size_t>(o)];
      std::vector<double> scores;
      for (const auto& [fold, score] : own) {
        if (const auto found = theirs.find(fold); found != theirs.end())
          scores.push_back(found->second);
      }
      if (o != t && scores.size() == own.size()) others.push_back(mean(scores));
    }
    if (std::ssize(others) < rules_.stopping.after_trials) continue;
    const double score = mean(own_scores);
    const double middle = median(others);
    if (!(score < middle)) continue;
    const double sign = rules_.larger_is_better ? 1 : -1;
    JournalRecord record;
    record.kind = Kind::kTrialStopped;
    record.trial = t;
    record.reason = "median";
    record.folds = std::ssize(own);
    record.score = sign * score;
    record.median = sign * middle;
    return record;
  }
  return std::nullopt;
}

std::optional<double> SweepState::score(int64_t number) const {
  const TrialState& trial = trials_[static_cast<size_t>(number)];
  for (int64_t rung = rules_.num_rungs - 1; rung >= 0; --rung) {
    const bool all =
        std::all_of(trial.chains.begin(), trial.chains.end(), [&](const ChainState& chain) {
          return chain.scores[static_cast<size_t>(rung)].has_value();
        });
    if (!all) continue;
    const double score = *rung_score(trial, rung);
    return rules_.larger_is_better ? score : -score;
  }
  return std::nullopt;
}

int64_t SweepState::best() const {
  int64_t best = -1;
  double best_score = 0;
  for (int64_t t = 0; t < num_trials(); ++t) {
    if (phase(t) != TrialPhase::kFinished) continue;
    const double goodness = *rung_score(trials_[static_cast<size_t>(t)], rules_.num_rungs - 1);
    if (best >= 0 && !(goodness > best_score)) continue;
    best = t;
    best_score = goodness;
  }
  return best;
}

}  // namespace baleen
