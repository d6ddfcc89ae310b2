#include "experiments/run_progress.h"

#include <algorithm>

#include "core/base/format.h"
#include "core/base/logging.h"
#include "core/base/process_age.h"

namespace baleen {
namespace {

std::string where(const std::vector<int>& members) {
  if (members.size() == 1) return fmt::format("rank {}", members.front());
  return fmt::format("ranks {}-{}", members.front(), members.back());
}

}  // namespace

RunProgressDisplay::RunProgressDisplay(const Plan& plan, const std::vector<std::string>& finished,
                                       double expected_cost)
    : progress_(ProgressOptions{}) {
  RunDisplay run;
  run.name = plan.name;
  run.num_chains = static_cast<int64_t>(plan.chains.size());
  run.num_finished = static_cast<int64_t>(finished.size());
  run.total_cost = expected_cost > 0 ? expected_cost : plan.cost();
  for (const std::string& name : finished) run.finished_cost += plan.chain(name).cost;
  progress_.begin_run(run);
}

RunProgressDisplay::~RunProgressDisplay() { progress_.end_run(); }

void RunProgressDisplay::chain_started(const ChainSpec& chain, const std::vector<int>& members) {
  progress_.begin_chain(chain.name, where(members), chain.cost);
  log_info("{} starts on {}", chain.name, where(members));
}

void RunProgressDisplay::chain_progress(const ChainSpec& chain, const ChainProgress& progress) {
  if (!stepped_) {
    stepped_ = true;
    log_info("first optimizer step {} after the launch", format_duration(seconds_since_launch()));
  }
  const StagePlan& stage = chain.stages.at(static_cast<size_t>(progress.stage));
  const int64_t first = first_steps_.try_emplace(chain.name, progress.steps_done).first->second;
  ChainDisplay shown;
  if (progress.phase == "predict") {
    shown.phase = "predicting";
  } else {
    shown.phase =
        fmt::format("stage {}/{}, {} px", progress.stage + 1, chain.stages.size(), stage.size_px);
    shown.epoch = std::min<int64_t>(progress.epoch + 1, stage.epochs);
    shown.num_epochs = stage.epochs;
    shown.step = progress.step;
    shown.num_steps = stage.steps_per_epoch;
    if (progress.step > 0) shown.note = fmt::format("loss {:.4f}", progress.loss);
  }
  shown.num_samples = std::max<int64_t>(progress.steps_done - first, 0) * stage.batch;
  shown.samples_per_s = progress.samples_per_s;
  shown.fraction = chain.share_done(progress.steps_done, progress.predicted);
  progress_.update_chain(chain.name, shown);
}

void RunProgressDisplay::chain_left(const ChainSpec& chain) {
  progress_.end_chain(chain.name, false);
  log_info("{} is left where it stands", chain.name);
}

void RunProgressDisplay::chain_finished(const ChainSpec& chain, const ChainOutcome& outcome,
                                        double seconds) {
  progress_.end_chain(chain.name, true);
  std::string metrics;
  for (const auto& [name, value] : outcome.metrics)
    metrics += fmt::format(", {} {:.4f}", name, value);
  log_info("{} finished in {}{}", chain.name, format_duration(seconds), metrics);
}

void RunProgressDisplay::chain_failed(const ChainSpec& chain, const Error& error, int rank,
                                      bool will_retry) {
  progress_.end_chain(chain.name, false);
  log_error("{} failed on rank {}: {}\n  {}", chain.name, rank, error.what(),
            will_retry ? "it will be tried once more" : "it is set aside; the rest goes on");
}

}  // namespace baleen
