#include "core/optim/schedule.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <utility>

#include "core/base/error.h"

namespace baleen {
namespace {

/// Reductions smaller than this are not made, as in torch.optim.lr_scheduler.ReduceLROnPlateau.
constexpr double kSmallestReduction = 1e-8;

void check(const ScheduleOptions& o, const ScheduleSpan& span) {
  const auto refuse = [](std::string message, std::string hint) {
    throw Error(ErrorKind::kConfiguration, std::move(message), std::move(hint));
  };
  if (o.kind != "constant" && o.kind != "step" && o.kind != "plateau" && o.kind != "cosine") {
    refuse(fmt::format("unknown schedule '{}'", o.kind), "known: constant, step, plateau, cosine");
  }
  if (span.steps_per_epoch < 1 || span.epochs < 1) {
    refuse(fmt::format("a schedule over {} epochs of {} steps", span.epochs, span.steps_per_epoch),
           "a stage needs at least one epoch and as many images as one global batch");
  }
  if (o.kind == "step") {
    if (o.milestones.empty() == (o.every_epochs == 0)) {
      refuse("a step schedule needs either milestones or every_epochs", "give exactly one of them");
    }
    if (!std::is_sorted(o.milestones.begin(), o.milestones.end())) {
      refuse("milestones are not ascending", "list the epochs in order");
    }
  }
  if (o.kind == "plateau") {
    if (!(o.factor < 1.0))
      refuse(fmt::format("plateau factor is {}", o.factor), "it must be below 1");
    if (o.mode != "min" && o.mode != "max")
      refuse(fmt::format("unknown mode '{}'", o.mode), "known: min, max");
    if (o.threshold_mode != "rel" && o.threshold_mode != "abs") {
      refuse(fmt::format("unknown threshold_mode '{}'", o.threshold_mode), "known: rel, abs");
    }
  }
  if (o.kind == "cosine" && o.cycles < 1) {
    refuse(fmt::format("a cosine schedule of {} cycles", o.cycles), "it has at least one cycle");
  }
}

}  // namespace

Schedule::Schedule(ScheduleOptions options, double base_lr, ScheduleSpan span)
    : options_(std::move(options)), base_lr_(base_lr), span_(span) {
  check(options_, span_);
  state_.lr = base_lr_;
}

int64_t Schedule::cycle_steps() const {
  const int64_t total = span_.steps_per_epoch * span_.epochs;
  return (total + options_.cycles - 1) / options_.cycles;
}

double Schedule::scheduled(int64_t step) const {
  if (options_.kind == "constant") return base_lr_;
  if (options_.kind == "plateau") return state_.lr;
  if (options_.kind == "step") {
    const int64_t epoch = step / span_.steps_per_epoch;
    const auto& milestones = options_.milestones;
    const int64_t passed =
        milestones.empty()
            ? epoch / options_.every_epochs
            : std::upper_bound(milestones.begin(), milestones.end(), epoch) - milestones.begin();
    return base_lr_ * std::pow(options_.gamma, static_cast<double>(passed));
  }
  const int64_t cycle = cycle_steps();
  const double progress = static_cast<double>(step % cycle) / static_cast<double>(cycle);
  return options_.min_lr +
         0.5 * (base_lr_ - options_.min_lr) * (std::cos(std::numbers::pi * progress) + 1.0);
}

double Schedule::lr(int64_t step) const {
  double rate = scheduled(step);
  if (step < options_.warmup_steps) {
    const double progress = static_cast<double>(step) / static_cast<double>(options_.warmup_steps);
    rate *= options_.warmup_start + (1.0 - options_.warmup_start) * progress;
  }
  return rate;
}

bool Schedule::improves(double monitored) const {
  const bool smaller_is_better = options_.mode == "min";
  const double infinity = std::numeric_limits<double>::infinity();
  const double best = state_.best.value_or(smaller_is_better ? infinity : -infinity);
  const double threshold = options_.threshold;
  if (options_.threshold_mode == "rel") {
    return smaller_is_better ? monitored < best * (1.0 - threshold)
                             : monitored > best * (1.0 + threshold);
  }
  return smaller_is_better ? monitored < best - threshold : monitored > best + threshold;
}

bool Schedule::end_epoch(double monitored) {
  if (options_.kind != "plateau") return false;
  if (improves(monitored)) {  // comparisons with NaN are false
    state_.best = monitored;
    state_.bad_epochs = 0;
  } else {
    ++state_.bad_epochs;
  }
  if (state_.cooldown_left > 0) {
    --state_.cooldown_left;
    state_.bad_epochs = 0;
  }
  if (state_.bad_epochs <= options_.patience) return false;
  state_.cooldown_left = options_.cooldown;
  state_.bad_epochs = 0;
  const double reduced = std::max(state_.lr * options_.factor, options_.min_lr);
  if (state_.lr - reduced <= kSmallestReduction) return false;
  state_.lr = reduced;
  return true;
}

}  // namespace baleen
