#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "core/base/format.h"
#include "experiments/plan.h"
#include "experiments/plan_print.h"

namespace baleen {
namespace {

/// "1:02:03", "2:03", "7.5 s".
std::string duration(double seconds) {
  if (seconds < 60) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<int64_t>(std::llround(seconds));
  if (whole < 3600) return fmt::format("{}:{:02} min", whole / 60, whole % 60);
  return fmt::format("{}:{:02}:{:02} h", whole / 3600, whole / 60 % 60, whole % 60);
}

/// "0-3", "0,2".
std::string rank_list(const std::vector<int>& ranks) {
  if (ranks.size() > 2 && ranks.back() - ranks.front() + 1 == static_cast<int>(ranks.size())) {
    return fmt::format("{}-{}", ranks.front(), ranks.back());
  }
  std::string text;
  for (int rank : ranks) text += fmt::format("{}{}", text.empty() ? "" : ",", rank);
  return text;
}

struct Column {
  size_t width = 0;
  void fit(const std::string& text) { width = std::max(width, text.size()); }
};

std::string stage_text(const StagePlan& stage) {
  return fmt::format("{} px: {} x {} of {}", stage.size_px, plural(stage.epochs, "epoch"),
                     plural(stage.steps_per_epoch, "step"), stage.batch);
}

std::string chains_section(const Plan& plan, const std::set<std::string>& done) {
  std::set<std::string> backbones;
  std::set<int64_t> seeds;
  for (const ChainSpec& chain : plan.chains) {
    backbones.insert(chain.backbone_label);
    seeds.insert(chain.seed);
  }
  std::string text = fmt::format("├─ chains    {} = {} x {} x {}; {}, {:.1f} TMAC\n",
                                 plural(static_cast<int64_t>(plan.chains.size()), "chain"),
                                 plural(static_cast<int64_t>(backbones.size()), "backbone"),
                                 plural(static_cast<int64_t>(plan.data.fold_sizes.size()), "fold"),
                                 plural(static_cast<int64_t>(seeds.size()), "seed"),
                                 plural(plan.steps(), "optimizer step"), plan.cost() / 1000);
  Column name, rows, steps;
  for (const ChainSpec& chain : plan.chains) {
    name.fit(chain.name);
    rows.fit(format_count(chain.train_rows));
    steps.fit(format_count(chain.steps()));
  }
  for (const ChainSpec& chain : plan.chains) {
    std::string stages;
    for (const StagePlan& stage : chain.stages)
      stages += (stages.empty() ? "" : "  →  ") + stage_text(stage);
    text += fmt::format("│  {} {:<{}}  {:>{}} rows  {:>{}} steps  V={}  {}{}\n",
                        &chain == &plan.chains.back() ? "└─" : "├─", chain.name, name.width,
                        format_count(chain.train_rows), rows.width, format_count(chain.steps()),
                        steps.width, chain.logical_shards, stages,
                        done.count(chain.name) > 0 ? "  (finished)" : "");
  }
  return text;
}

/// "resnet18-f0-s1", "resnet18-f0-s1 from stage 1".
std::string name_of(const Plan& plan, const ScheduledChain& entry) {
  const std::string& name = plan.chains[static_cast<size_t>(entry.chain)].name;
  return entry.first_stage == 0 ? name : fmt::format("{} from stage {}", name, entry.first_stage);
}

std::string schedule_section(const Plan& plan, const Forecast& expected) {
  const char* basis = expected.measured
                          ? "from measured chains"
                          : "a guess until the first chain has been measured; ratios hold";
  std::string text = fmt::format("├─ schedule  {}: {} expected ({}), ranks busy {:.0f} % of it\n",
                                 plural(expected.num_ranks, "rank"), duration(expected.makespan_s),
                                 basis, 100 * expected.busy);
  Column name, ranks, start, end;
  for (const ScheduledChain& entry : expected.chains) {
    name.fit(name_of(plan, entry));
    ranks.fit(rank_list(entry.ranks));
    start.fit(duration(entry.start_s));
    end.fit(duration(entry.end_s));
  }
  for (const ScheduledChain& entry : expected.chains) {
    text += fmt::format("│  {} {:>{}} to {:>{}}  {:<{}}  on {} {:<{}}\n",
                        &entry == &expected.chains.back() ? "└─" : "├─", duration(entry.start_s),
                        start.width, duration(entry.end_s), end.width, name_of(plan, entry),
                        name.width, entry.ranks.size() == 1 ? "rank " : "ranks",
                        rank_list(entry.ranks), ranks.width);
  }
  if (expected.chains.empty()) text += "│  └─ nothing is left to train\n";
  return text;
}

/// Numbers of logical shards worth showing: powers of two up to the ranks at hand, those in use,
/// and no more than the batches allow.
std::set<int64_t> candidate_shards(const Plan& plan, int num_ranks) {
  int64_t smallest_batch = plan.chains.front().stages.front().batch;
  std::set<int64_t> candidates;
  for (const ChainSpec& chain : plan.chains) {
    candidates.insert(chain.logical_shards);
    for (const StagePlan& stage : chain.stages)
      smallest_batch = std::min(smallest_batch, stage.batch);
  }
  for (int64_t v = 1; v < 2 * num_ranks && v <= smallest_batch; v *= 2) candidates.insert(v);
  return candidates;
}

std::string shards_section(const Plan& plan, int num_ranks, const CostRates& rates,
                           const std::vector<std::string>& finished, const Forecast& expected) {
  std::set<int64_t> used;
  for (const ChainSpec& chain : plan.chains) used.insert(chain.logical_shards);
  std::string text =
      "└─ logical_shards: what another V would gain or cost (it also changes the results' bits)\n";
  const std::set<int64_t> candidates = candidate_shards(plan, num_ranks);
  for (int64_t v : candidates) {
    const Forecast what_if = forecast(plan, num_ranks, rates, finished, v);
    const double ratio = expected.makespan_s > 0 ? what_if.makespan_s / expected.makespan_s : 1;
    size_t widest = 1;
    for (const ScheduledChain& entry : what_if.chains)
      widest = std::max(widest, entry.ranks.size());
    const bool is_this = used.size() == 1 && *used.begin() == v;
    text += fmt::format("   {} V = {:<4} {:>12}  {:>5.2f} x  groups of up to {}{}\n",
                        v == *candidates.rbegin() ? "└─" : "├─", v, duration(what_if.makespan_s),
                        ratio, widest, is_this ? "  ← this recipe" : "");
  }
  return text;
}

}  // namespace

std::string plural(int64_t count, const std::string& noun) {
  return fmt::format("{} {}{}", format_count(count), noun, count == 1 ? "" : "s");
}

std::string describe_data(const Plan& plan) {
  const DatasetFacts& data = plan.data;
  const auto [least, most] = std::minmax_element(data.fold_sizes.begin(), data.fold_sizes.end());
  std::string text = fmt::format(
      "{} samples, {} {}, {}; {} folds of {}", format_count(data.num_samples), data.num_outputs,
      data.target, plural(data.channels, "channel"), data.fold_sizes.size(), format_count(*least));
  if (*most != *least) text += fmt::format(" to {}", format_count(*most));
  const int64_t copies =
      std::accumulate(data.fold_copies.begin(), data.fold_copies.end(), int64_t{0});
  if (copies > 0) text += fmt::format("; {} copies for training", format_count(copies));
  if (data.num_extra > 0)
    text += fmt::format("; {} more for training", format_count(data.num_extra));
  const int64_t left_out =
      std::accumulate(data.fold_left_out.begin(), data.fold_left_out.end(), int64_t{0});
  if (left_out > 0)
    text += fmt::format("; {} predicted but not trained on", format_count(left_out));
  text += data.num_test > 0
              ? fmt::format("; {} to predict as a test set", format_count(data.num_test))
              : "; no test set";
  return text;
}

std::string print_plan(const Plan& plan, int num_ranks, const CostRates& rates,
                       const std::vector<std::string>& finished) {
  const Forecast expected = forecast(plan, num_ranks, rates, finished);
  std::string text = fmt::format("run {}  (plan {})\n", plan.name, plan.hash.substr(0, 12));
  text += fmt::format("├─ data      {}\n", describe_data(plan));
  text += chains_section(plan, {finished.begin(), finished.end()});
  text += schedule_section(plan, expected);
  text += shards_section(plan, num_ranks, rates, finished, expected);
  return text;
}

}  // namespace baleen
