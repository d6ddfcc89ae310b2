#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "experiments/sweep/sweep_state.h"

namespace baleen {

struct PreparedSweep;

/// What there is to know of a sweep without its recipe and data: sweep.json of its run directory.
/// With the journal, it tells where every trial stands.
struct SweepOutline {
  struct Axis {
    std::string key;
    bool log = false;  ///< values are best seen on a logarithmic scale
  };
  std::string name;
  std::string method;
  std::vector<Axis> axes;
  std::vector<std::vector<std::string>> values;  ///< by trial, by axis
  std::vector<int64_t> rungs;                    ///< epochs; the whole training is not in it
  SweepRules rules;
};

SweepOutline outline_of(const PreparedSweep& sweep);

std::string to_json_text(const SweepOutline& outline);
/// @throws Error kData naming the file when it can't be read or parsed.
SweepOutline read_outline(const std::filesystem::path& file);

/// One trial, as far as it is.
struct TrialResult {
  int64_t number = 0;
  std::string name;                 ///< "0007"
  std::vector<std::string> values;  ///< by axis
  TrialPhase phase = TrialPhase::kPlanned;
  int64_t rung = 0;
  std::optional<double> score;                     ///< of the metric, mean over chains
  std::vector<std::optional<double>> fold_scores;  ///< by fold, of chains trained to the end
  std::optional<double> oof;                       ///< pooled out-of-fold score, mean of models
  std::optional<double> stack;                     ///< the same of the stack
  int64_t chains_finished = 0;
  int64_t num_chains = 0;
  double rank_seconds = 0;  ///< that its chains took
  std::string note;         ///< why it was stopped, or has failed

  bool trained_to_end() const { return phase == TrialPhase::kFinished; }
};

struct SweepResults {
  std::vector<TrialResult> trials;  ///< by number
  int64_t best = -1;                ///< number of the best finished trial

  int64_t count(TrialPhase phase) const;
};

SweepResults results_of(const SweepOutline& outline, const JournalState& journal);

/// trials.csv: one row per trial. Columns: docs/sweeps.md.
std::string trials_csv(const SweepOutline& outline, const SweepResults& results);

/// How far the sweep is, and its best trials so far, as text.
/// @param most_shown trials in the table; those in work come after the best
std::string describe_results(const SweepOutline& outline, const SweepResults& results,
                             size_t most_shown);

}  // namespace baleen
