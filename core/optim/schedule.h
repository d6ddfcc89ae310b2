#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/config/field.h"

namespace baleen {

/// How the learning rate moves within one stage. Steps are optimizer steps from 0, epochs are
/// counted from 0.
struct ScheduleOptions {
  std::string kind = "constant";
  std::vector<int64_t> milestones;
  int64_t every_epochs = 0;
  double gamma = 0.1;
  double factor = 0.2;
  int64_t patience = 10;
  std::string mode = "min";
  double threshold = 1e-4;
  std::string threshold_mode = "rel";
  int64_t cooldown = 0;
  int64_t cycles = 1;
  double min_lr = 0.0;
  int64_t warmup_steps = 0;
  double warmup_start = 0.1;
};

template <class Visitor>
void visit_fields(Visitor& v, ScheduleOptions& o) {
  v.field("kind", o.kind,
          "constant; step: times gamma at epochs; plateau: times factor when the monitored value "
          "stalls; cosine: half a "
          "cosine down to min_lr, started again `cycles` times",
          config::one_of({"constant", "step", "plateau", "cosine"}));
  v.field("milestones", o.milestones,
          "step: epochs, ascending, from which on the rate is multiplied once more");
  v.field("every_epochs", o.every_epochs,
          "step: instead of milestones, multiply every so many epochs", config::at_least(0));
  v.field("gamma", o.gamma, "step: factor at each milestone", config::between(0.0, 1.0));
  v.field("factor", o.factor, "plateau: factor at each reduction", config::between(0.0, 1.0));
  v.field("patience", o.patience, "plateau: epochs without improvement that are tolerated",
          config::at_least(0));
  v.field("mode", o.mode, "plateau: whether smaller or larger values are better",
          config::one_of({"min", "max"}));
  v.field("threshold", o.threshold, "plateau: improvement that counts", config::between(0.0, 1.0));
  v.field("threshold_mode", o.threshold_mode,
          "plateau: threshold relative to the best value, or absolute",
          config::one_of({"rel", "abs"}));
  v.field("cooldown", o.cooldown, "plateau: epochs after a reduction that are not counted",
          config::at_least(0));
  v.field(
      "cycles", o.cycles,
      "cosine: number of equal cycles in the stage; the last is cut short if they do not divide it",
      config::at_least(1));
  v.field("min_lr", o.min_lr, "plateau, cosine: the rate never falls below this",
          config::at_least(0.0));
  v.field("warmup_steps", o.warmup_steps,
          "steps over which the rate rises linearly from warmup_start times to its scheduled "
          "value; with every kind",
          config::at_least(0));
  v.field("warmup_start", o.warmup_start, "factor on the rate at step 0 of a warm-up",
          config::between(0.0, 1.0));
}

/// What a plateau schedule remembers between epochs; constant for the other kinds.
struct ScheduleState {
  double lr = 0.0;  ///< current rate before warm-up
  std::optional<double>
      best;  ///< best monitored value; none before the first that is finite or the good infinity
  int64_t bad_epochs = 0;     ///< epochs since the last improvement or reduction
  int64_t cooldown_left = 0;  ///< epochs
};

template <class Visitor>
void visit_fields(Visitor& v, ScheduleState& s) {
  v.field("lr", s.lr, "current rate before warm-up");
  v.field("best", s.best, "best monitored value so far");
  v.field("bad_epochs", s.bad_epochs, "epochs since the last improvement or reduction");
  v.field("cooldown_left", s.cooldown_left, "epochs of cool-down left");
}

/// How long the stage is that a schedule spans.
struct ScheduleSpan {
  int64_t steps_per_epoch = 1;
  int64_t epochs = 1;
};

/// The learning rate of each step: a pure function of the step, the options and, for plateau, the
/// state. The same rates as torch.optim.lr_scheduler's StepLR, MultiStepLR, ReduceLROnPlateau,
/// CosineAnnealingWarmRestarts and LinearLR (warm-up). Groups' multipliers come on top.
class Schedule {
 public:
  /// @throws Error kConfiguration for an unknown kind or settings that contradict each other.
  Schedule(ScheduleOptions options, double base_lr, ScheduleSpan span);

  /// Rate of a step, counted from 0 at the stage's start.
  double lr(int64_t step) const;

  /// Steps of one cosine cycle: ceil(total / cycles). A cycle ends after steps k·cycle_steps()
  /// (Huang et al. 2017, "Snapshot Ensembles": the moments to save).
  int64_t cycle_steps() const;

  /// After each epoch, with the monitored value: moves the plateau's state; nothing for other
  /// kinds. NaN is no improvement.
  /// @returns whether the rate was reduced
  bool end_epoch(double monitored);

  const ScheduleState& state() const { return state_; }
  void load(const ScheduleState& state) { state_ = state; }

 private:
  double scheduled(int64_t step) const;
  bool improves(double monitored) const;

  ScheduleOptions options_;
  double base_lr_;
  ScheduleSpan span_;
  ScheduleState state_;
};

}  // namespace baleen
