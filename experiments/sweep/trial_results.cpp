#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "core/base/format.h"
#include "data/pack/csv.h"
#include "experiments/sweep/sweep_outline.h"
#include "experiments/sweep/trials.h"

namespace baleen {
namespace {

using Kind = JournalRecord::Kind;

std::optional<double> metric_in(const JournalRecord& record, const std::string& name) {
  const auto found = record.metrics.find(name);
  if (found == record.metrics.end() || !std::isfinite(found->second)) return std::nullopt;
  return found->second;
}

std::string note_of(const JournalRecord& stopped, const std::string& metric) {
  if (stopped.reason == "median")
    return fmt::format("after {} fold{}: {} {:.4f}, median {:.4f}", stopped.folds,
                       stopped.folds == 1 ? "" : "s", metric, stopped.score, stopped.median);
  return stopped.error_message;
}

std::string cell(const std::optional<double>& value) {
  return value && std::isfinite(*value) ? fmt::format("{:.4f}", *value) : "-";
}

std::string csv_number(const std::optional<double>& value) {
  return value && std::isfinite(*value) ? fmt::format("{:.9g}", *value) : "";
}

size_t num_folds_of(const SweepResults& results) {
  size_t folds = 0;
  for (const TrialResult& trial : results.trials) folds = std::max(folds, trial.fold_scores.size());
  return folds;
}

/// What a reader looks for first: finished ones by their score, then the others that have one by
/// how far they came.
std::vector<const TrialResult*> best_first(const SweepResults& results, bool larger_is_better) {
  std::vector<const TrialResult*> order;
  for (const TrialResult& trial : results.trials)
    if (trial.phase != TrialPhase::kPlanned) order.push_back(&trial);
  const auto key = [&](const TrialResult* trial) {
    const double score = trial->score.value_or(std::nan(""));
    const double goodness = larger_is_better ? score : -score;
    return std::tuple(trial->phase != TrialPhase::kFinished, !trial->score.has_value(),
                      -trial->rung, std::isnan(goodness) ? INFINITY : -goodness, trial->number);
  };
  std::sort(order.begin(), order.end(),
            [&](const TrialResult* a, const TrialResult* b) { return key(a) < key(b); });
  return order;
}

std::string phase_text(const TrialResult& trial, const SweepOutline& outline) {
  std::string text = name_of(trial.phase);
  const bool between = trial.phase == TrialPhase::kRunning || trial.phase == TrialPhase::kPaused;
  if (outline.rules.halving && between) text += fmt::format(", rung {}", trial.rung);
  if ((trial.phase == TrialPhase::kRunning || trial.phase == TrialPhase::kFailed) &&
      trial.num_chains > 1)
    text += fmt::format(", {}/{} chains", trial.chains_finished, trial.num_chains);
  return text;
}

/// Trials of which this start has set a chain aside, with the first reason. The next start tries
/// them again.
std::map<int64_t, std::string> failed_trials(const JournalState& journal, const SweepState& state) {
  std::map<int64_t, std::string> failed;
  for (const JournalRecord& record : journal.records) {
    if (record.kind == Kind::kRunStarted) failed.clear();
    if (record.kind != Kind::kChainFailed || !record.set_aside) continue;
    failed.emplace(state.find(record.name).first,
                   record.error_message.substr(0, record.error_message.find('\n')));
  }
  return failed;
}

}  // namespace

int64_t SweepResults::count(TrialPhase phase) const {
  return std::count_if(trials.begin(), trials.end(),
                       [phase](const TrialResult& trial) { return trial.phase == phase; });
}

SweepResults results_of(const SweepOutline& outline, const JournalState& journal) {
  SweepState state(outline.rules);
  SweepResults results;
  results.trials.resize(static_cast<size_t>(state.num_trials()));
  for (const JournalRecord& record : journal.records) {
    state.apply(record);
    if (record.kind != Kind::kChainFinished && record.kind != Kind::kChainPaused) continue;
    if (const auto [t, chain] = state.find(record.name); t >= 0)
      results.trials[static_cast<size_t>(t)].rank_seconds +=
          record.seconds * static_cast<double>(record.ranks.size());
  }
  const std::map<int64_t, std::string> failed = failed_trials(journal, state);
  for (int64_t t = 0; t < state.num_trials(); ++t) {
    TrialResult& trial = results.trials[static_cast<size_t>(t)];
    const std::vector<SweepRules::Chain>& chains = outline.rules.trials[static_cast<size_t>(t)];
    trial.number = t;
    trial.name = trial_name(t);
    trial.values = outline.values[static_cast<size_t>(t)];
    trial.phase = state.phase(t);
    trial.rung = state.rung(t);
    trial.score = state.score(t);
    trial.num_chains = std::ssize(chains);
    for (const SweepRules::Chain& chain : chains) {
      trial.chains_finished += journal.finished_chains.count(chain.name) > 0 ? 1 : 0;
      trial.fold_scores.resize(
          std::max(trial.fold_scores.size(), static_cast<size_t>(chain.fold) + 1));
    }
    for (const auto& [fold, score] : state.fold_scores(t))
      trial.fold_scores[static_cast<size_t>(fold)] = score;
    if (const auto done = journal.finished_trials.find(t); done != journal.finished_trials.end()) {
      trial.oof = metric_in(done->second, "oof");
      trial.stack = metric_in(done->second, "stack");
    }
    if (const JournalRecord* stopped = state.stopped_by(t); stopped)
      trial.note = note_of(*stopped, outline.rules.metric);
    if (const auto found = failed.find(t);
        found != failed.end() && trial.phase == TrialPhase::kRunning) {
      trial.phase = TrialPhase::kFailed;
      trial.note = found->second;
    }
  }
  results.best = state.best();
  return results;
}

std::string trials_csv(const SweepOutline& outline, const SweepResults& results) {
  const size_t folds = num_folds_of(results);
  std::string text = "trial,phase,rung";
  for (const SweepOutline::Axis& axis : outline.axes) text += "," + csv_field(axis.key);
  text += "," + csv_field(outline.rules.metric);
  for (size_t fold = 0; fold < folds; ++fold) text += fmt::format(",fold_{}", fold);
  text += ",oof,stack,chains_finished,chains,rank_seconds,note\n";
  for (const TrialResult& trial : results.trials) {
    text += fmt::format("{},{},{}", trial.name, name_of(trial.phase), trial.rung);
    for (const std::string& value : trial.values) text += "," + csv_field(value);
    text += "," + csv_number(trial.score);
    for (size_t fold = 0; fold < folds; ++fold)
      text += "," +
              csv_number(fold < trial.fold_scores.size() ? trial.fold_scores[fold] : std::nullopt);
    text += fmt::format(",{},{},{},{},{:.3f},{}\n", csv_number(trial.oof), csv_number(trial.stack),
                        trial.chains_finished, trial.num_chains, trial.rank_seconds,
                        csv_field(trial.note));
  }
  return text;
}

std::string describe_results(const SweepOutline& outline, const SweepResults& results,
                             size_t most_shown) {
  std::string text = fmt::format("{} trial{} by {}:", results.trials.size(),
                                 results.trials.size() == 1 ? "" : "s", outline.method);
  bool first = true;
  for (const TrialPhase phase : {TrialPhase::kFinished, TrialPhase::kRunning, TrialPhase::kPaused,
                                 TrialPhase::kStopped, TrialPhase::kFailed, TrialPhase::kPlanned}) {
    const int64_t count = results.count(phase);
    if (count == 0) continue;
    text += fmt::format("{} {} {}", first ? "" : ",", count, name_of(phase));
    first = false;
  }
  if (results.best >= 0)
    text +=
        fmt::format("; best so far: {}", results.trials[static_cast<size_t>(results.best)].name);
  text += "\n";

  std::vector<std::vector<std::string>> rows = {
      {"trial", outline.rules.metric, "out of fold", "stack", "state", "values"}};
  const std::vector<const TrialResult*> order = best_first(results, outline.rules.larger_is_better);
  for (size_t i = 0; i < std::min(order.size(), most_shown); ++i) {
    const TrialResult& trial = *order[i];
    std::string values;
    for (size_t a = 0; a < trial.values.size(); ++a)
      values += fmt::format("{}{} = {}", a > 0 ? ", " : "", outline.axes[a].key, trial.values[a]);
    if (!trial.note.empty() && !trial.trained_to_end()) values += fmt::format(" ({})", trial.note);
    rows.push_back({trial.name, cell(trial.score), cell(trial.oof), cell(trial.stack),
                    phase_text(trial, outline), values});
  }
  std::vector<size_t> widths(rows.front().size(), 0);
  for (const std::vector<std::string>& row : rows)
    for (size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], row[c].size());
  for (const std::vector<std::string>& row : rows) {
    std::string line = " ";
    for (size_t c = 0; c < row.size(); ++c)
      line += fmt::format(" {:<{}}", row[c], c + 1 < row.size() ? widths[c] + 1 : 0);
    text += line + "\n";
  }
  if (order.size() > most_shown)
    text += fmt::format("  and {} more: trials.csv, report.html\n", order.size() - most_shown);
  return text;
}

}  // namespace baleen
