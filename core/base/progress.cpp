#include "core/base/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/format.h"
#include "core/base/logging.h"
#include "core/base/progress_layout.h"
#include "core/base/stopwatch.h"

namespace baleen {
namespace {

constexpr double kRateMemory_s = 5;  // time constant of the smoothed rate
constexpr double kRateStep_s = 0.2;  // shorter spans measure noise
constexpr double kUnknown = std::numeric_limits<double>::infinity();

// " 12/80": the count set flush right under the largest it can become.
std::string counter(int64_t done, int64_t total) {
  const std::string all = std::to_string(total);
  return fmt::format("{:>{}}/{}", done, all.size(), all);
}

std::string percent(double fraction) {
  return fmt::format("{:>3} %", static_cast<int>(std::floor(100 * fraction + 1e-9)));
}

// Time left at the pace of what was done since the beginning.
double time_left(double elapsed_s, double done, double remaining) {
  return done > 0 ? elapsed_s * remaining / done : kUnknown;
}

std::string left(double seconds) {
  return std::isfinite(seconds) ? "left " + format_duration(seconds) : std::string();
}

void append(std::string& text, const std::string& part) {
  if (part.empty()) return;
  if (!text.empty()) text += "  ";
  text += part;
}

}  // namespace

Progress::Progress(ProgressOptions options)
    : Progress(
          standard_error(), [](const std::string& line) { log_info("{}", line); },
          monotonic_seconds, options) {}

Progress::Progress(Console& console, LineSink plain_lines, Clock clock, ProgressOptions options)
    : console_(console),
      plain_lines_(std::move(plain_lines)),
      clock_(std::move(clock)),
      options_(options) {
  if (options_.mode == ProgressOptions::Mode::kAuto) {
    options_.mode = console_.output().is_terminal() ? ProgressOptions::Mode::kLive
                                                    : ProgressOptions::Mode::kPlain;
  }
}

Progress::~Progress() { end_run(); }

bool Progress::live() const { return options_.mode == ProgressOptions::Mode::kLive; }

void Progress::begin_run(const RunDisplay& run) {
  const std::lock_guard lock(mutex_);
  run_ = run;
  if (run_.total_cost <= 0) {
    run_.total_cost = static_cast<double>(run_.num_chains);
    run_.finished_cost = static_cast<double>(run_.num_finished);
  }
  running_ = true;
  chains_.clear();
  run_began_s_ = clock_();
  run_began_fraction_ = run_fraction();
  redraw(run_began_s_, true);
}

void Progress::begin_chain(const std::string& name, const std::string& where, double cost) {
  const std::lock_guard lock(mutex_);
  Chain chain;
  chain.where = where;
  chain.cost = cost;
  chain.began_s = chain.epoch_began_s = chain.rate_s = chain.line_s = clock_();
  chains_[name] = chain;
  redraw(chain.began_s, true);
}

void Progress::update_chain(const std::string& name, const ChainDisplay& progress) {
  const std::lock_guard lock(mutex_);
  const auto found = chains_.find(name);
  if (found == chains_.end()) return;
  Chain& chain = found->second;
  const double now = clock_();
  if (!chain.reported) {
    chain.reported = true;
    chain.began_s = now;
    chain.began_fraction = chain.line_fraction = progress.fraction;
    // What a resumed chain did before counts for nobody's pace now.
    run_began_fraction_ += chain.cost * progress.fraction / std::max(run_.total_cost, 1e-300);
    chain.rate_s = now;
    chain.rate_samples = progress.num_samples;
  }
  if (progress.epoch != chain.latest.epoch || progress.num_epochs != chain.latest.num_epochs ||
      progress.phase != chain.latest.phase || progress.step < chain.epoch_began_step) {
    chain.epoch_began_s = now;
    chain.epoch_began_step = progress.step;
  }
  const double span = now - chain.rate_s;
  if (span >= kRateStep_s) {
    const double rate = static_cast<double>(progress.num_samples - chain.rate_samples) / span;
    const double weight = chain.rate > 0 ? 1 - std::exp(-span / kRateMemory_s) : 1;
    chain.rate += weight * (rate - chain.rate);
    chain.rate_s = now;
    chain.rate_samples = progress.num_samples;
  }
  if (progress.samples_per_s > 0) chain.rate = progress.samples_per_s;
  chain.latest = progress;
  if (live()) {
    redraw(now, false);
  } else {
    maybe_print(name, chain, now);
  }
}

void Progress::end_chain(const std::string& name, bool finished) {
  const std::lock_guard lock(mutex_);
  const auto found = chains_.find(name);
  if (found == chains_.end()) return;
  if (finished) {
    ++run_.num_finished;
    run_.finished_cost += found->second.cost;
  } else {
    run_began_fraction_ -=
        found->second.cost * found->second.began_fraction / std::max(run_.total_cost, 1e-300);
  }
  chains_.erase(found);
  redraw(clock_(), true);
}

void Progress::end_run() {
  const std::lock_guard lock(mutex_);
  if (!running_) return;
  running_ = false;
  chains_.clear();
  if (live()) console_.set_live({});
}

double Progress::run_fraction() const {
  if (run_.total_cost <= 0) return 0;
  double done = run_.finished_cost;
  for (const auto& [name, chain] : chains_) done += chain.cost * chain.latest.fraction;
  return std::clamp(done / run_.total_cost, 0.0, 1.0);
}

double Progress::chain_time_left(const Chain& chain, double now) const {
  return time_left(now - chain.began_s, chain.latest.fraction - chain.began_fraction,
                   1 - chain.latest.fraction);
}

std::string Progress::run_figures(double now) const {
  const double elapsed = now - run_began_s_;
  const double fraction = run_fraction();
  std::string text = counter(run_.num_finished, run_.num_chains) + " chains";
  append(text, percent(fraction));
  append(text, "elapsed " + format_duration(std::floor(elapsed)));
  append(text, left(time_left(elapsed, fraction - run_began_fraction_, 1 - fraction)));
  return text;
}

std::string Progress::epoch_figures(const Chain& chain, double now) const {
  const ChainDisplay& at = chain.latest;
  std::string text;
  if (at.num_steps > 0) append(text, counter(at.step, at.num_steps));
  if (chain.rate > 0) append(text, format_rate(chain.rate, "img"));
  append(text, at.note);
  append(text, left(time_left(now - chain.epoch_began_s,
                              static_cast<double>(at.step - chain.epoch_began_step),
                              static_cast<double>(at.num_steps - at.step))));
  return text;
}

std::vector<std::string> Progress::draw(double now) const {
  std::vector<ProgressLine> lines = {{run_.name, run_fraction(), run_figures(now)}};
  const auto epoch_of = [](const ChainDisplay& at) {
    return at.epoch > 0 ? "epoch " + counter(at.epoch, at.num_epochs) : std::string();
  };
  // Rows of the terminal left for chains; the last one may have to say that there are more.
  const auto room = static_cast<size_t>(std::clamp(console_.output().height() - 4, 1, 16));
  size_t shown = 0;
  for (const auto& [name, chain] : chains_) {
    const ChainDisplay& at = chain.latest;
    const std::string label = fmt::format("  {}  {}", name, chain.where);
    std::string figures;
    if (chains_.size() == 1) {
      append(figures, at.phase);
      append(figures, percent(at.fraction));
      append(figures, left(chain_time_left(chain, now)));
      lines.push_back({label, at.fraction, figures});
      const double epoch_fraction =
          at.num_steps > 0 ? static_cast<double>(at.step) / static_cast<double>(at.num_steps) : 0;
      if (at.epoch > 0) {
        lines.push_back({"    " + epoch_of(at), epoch_fraction, epoch_figures(chain, now)});
      }
      break;
    }
    if (shown == room && chains_.size() > room) {
      lines.push_back({fmt::format("  and {} more", chains_.size() - shown), -1, ""});
      break;
    }
    ++shown;
    append(figures, at.phase);
    append(figures, epoch_of(at));
    if (at.num_steps > 0) append(figures, counter(at.step, at.num_steps));
    if (chain.rate > 0) append(figures, format_rate(chain.rate, "img"));
    append(figures, percent(at.fraction));
    append(figures, left(chain_time_left(chain, now)));
    lines.push_back({label, at.fraction, figures});
  }
  // One column stays free: a character in the last one would wrap on some terminals.
  return lay_out(lines, console_.output().width() - 1, options_.unicode);
}

void Progress::redraw(double now, bool at_once) {
  if (!live() || !running_) return;
  if (!at_once && now - drawn_s_ < options_.redraw_interval_s) return;
  drawn_s_ = now;
  console_.set_live(draw(now));
}

void Progress::maybe_print(const std::string& name, Chain& chain, double now) {
  if (options_.mode != ProgressOptions::Mode::kPlain) return;
  const ChainDisplay& at = chain.latest;
  const double waited = now - chain.line_s;
  // Rounding must not put off a line that is due.
  const bool far = at.fraction - chain.line_fraction >= options_.plain_fraction - 1e-9;
  if (waited < options_.plain_min_interval_s || !(far || waited >= options_.plain_interval_s)) {
    return;
  }
  chain.line_s = now;
  chain.line_fraction = at.fraction;
  std::string text = fmt::format("{} {}", name, percent(at.fraction));
  append(text, at.phase);
  if (at.epoch > 0) append(text, "epoch " + counter(at.epoch, at.num_epochs));
  if (at.num_steps > 0) append(text, counter(at.step, at.num_steps));
  if (chain.rate > 0) append(text, format_rate(chain.rate, "img"));
  append(text, at.note);
  append(text, left(chain_time_left(chain, now)));
  text += fmt::format("  (run: {}/{} chains)", run_.num_finished, run_.num_chains);
  plain_lines_(text);
}

}  // namespace baleen
