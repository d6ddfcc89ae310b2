#include "experiments/sweep/sweep_report.h"

#include <fmt/format.h>

namespace baleen {

ReportSweep report_sweep(const SweepOutline& outline, const SweepResults& results) {
  ReportSweep sweep;
  sweep.method = outline.method;
  sweep.metric = outline.rules.metric;
  sweep.larger_is_better = outline.rules.larger_is_better;
  for (const SweepOutline::Axis& axis : outline.axes) sweep.axes.push_back({axis.key, axis.log});
  for (const TrialResult& result : results.trials) {
    if (result.phase == TrialPhase::kPlanned) continue;
    ReportTrial trial;
    trial.name = result.name;
    trial.values = result.values;
    trial.state = result.phase == TrialPhase::kFinished  ? ReportTrial::State::kFinished
                  : result.phase == TrialPhase::kStopped ? ReportTrial::State::kStopped
                  : result.phase == TrialPhase::kFailed  ? ReportTrial::State::kFailed
                  : result.phase == TrialPhase::kPaused  ? ReportTrial::State::kPaused
                                                         : ReportTrial::State::kRunning;
    trial.state_text = name_of(result.phase);
    if (outline.rules.halving && result.phase != TrialPhase::kFinished) {
      const auto rung = static_cast<size_t>(result.rung);
      trial.state_text += rung < outline.rungs.size()
                              ? fmt::format(", epoch {}", outline.rungs[rung])
                              : ", last rung";
    }
    trial.score = result.score;
    trial.folds = result.fold_scores;
    trial.oof = result.oof;
    trial.stack = result.stack;
    trial.rank_seconds = result.rank_seconds;
    trial.note = result.trained_to_end() ? "" : result.note;
    trial.best = result.number == results.best;
    sweep.trials.push_back(std::move(trial));
  }
  return sweep;
}

}  // namespace baleen
