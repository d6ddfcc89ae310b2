#include "experiments/ensemble/contestants.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/error.h"
#include "core/base/nearest.h"
#include "core/metrics/metrics.h"
#include "experiments/ensemble/vote.h"

namespace baleen {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// What judging needs at every step.
struct Court {
  const LoadedStack& loaded;
  const StackJob& job;
  StackMetric metric;
  ExclusiveGroups groups;
  const StackInput& input() const { return loaded.input; }
};

double mean_log_loss(const Court& court, const at::Tensor& scores_NL, const at::Tensor& y_NL) {
  if (court.metric == StackMetric::kAccuracy) return class_log_loss(y_NL.argmax(1), scores_NL);
  return binary_log_loss(y_NL, scores_NL);
}

double mean_auc(const at::Tensor& y_NL, const at::Tensor& scores_NL) {
  double sum = 0;
  int64_t count = 0;
  for (int64_t l = 0; l < y_NL.size(1); ++l) {
    const double auc = roc_auc(y_NL.select(1, l), scores_NL.select(1, l));
    if (std::isnan(auc)) continue;
    sum += auc;
    ++count;
  }
  return count ? sum / double(count) : kNaN;
}

void add_folds(Contestant& c, const Court& court) {
  const std::vector<int64_t>& folds = court.input().folds;
  const int64_t num_folds = *std::max_element(folds.begin(), folds.end()) + 1;
  std::vector<double> sum(static_cast<size_t>(num_folds), 0), count = sum;
  const double* score = c.score_N.const_data_ptr<double>();
  for (size_t i = 0; i < folds.size(); ++i) {
    sum[static_cast<size_t>(folds[i])] += score[i];
    count[static_cast<size_t>(folds[i])] += 1;
  }
  for (size_t k = 0; k < sum.size(); ++k) c.by_fold.push_back(sum[k] / count[k]);
}

void finish(Contestant& c, const Court& court) {
  const at::Tensor& y_NL = court.input().targets_NL;
  c.score_N = sample_scores(court.metric, y_NL, c.oof_NL, c.decided_NL, court.job.thresholds);
  c.score.value = c.score_N.mean().item<double>();
  add_folds(c, court);
  c.auc = mean_auc(y_NL, c.oof_NL);
  c.log_loss = c.probabilities ? mean_log_loss(court, c.oof_NL, y_NL) : kNaN;
}

at::Tensor decide_at_start(const Court& court, const at::Tensor& scores_NL) {
  const std::vector<double> start(court.input().labels.size(), court.job.thresholds.start);
  return apply_thresholds(scores_NL, start, court.groups);
}

/// A contestant with scores whose decisions, where there are any, are made by thresholds.
Contestant by_scores(const Court& court, const std::string& name, const at::Tensor& oof_NL,
                     const at::Tensor& test_TL, bool probabilities) {
  Contestant c;
  c.name = name;
  c.probabilities = probabilities;
  c.oof_NL = oof_NL.to(at::kDouble).contiguous();
  c.test_TL = test_TL;
  if (court.metric == StackMetric::kF) {
    const ThresholdOptions& options = court.job.thresholds;
    c.thresholds = cross_fit_thresholds(c.oof_NL, court.input().targets_NL, court.input().folds,
                                        options, court.groups);
    c.decided_NL = c.thresholds.predicted_NL;
    c.at_start = sample_f_beta(court.input().targets_NL, decide_at_start(court, c.oof_NL),
                               options.beta, options.empty_score);
    if (test_TL.defined())
      c.decided_TL = apply_thresholds(test_TL, c.thresholds.final.values_L, court.groups);
  }
  finish(c, court);
  return c;
}

/// The models' decisions, counted.
Contestant by_vote(const Court& court, const std::vector<Contestant>& models) {
  const auto decisions = [&](const Contestant& model, bool test) {
    const at::Tensor& scores = test ? model.test_TL : model.oof_NL;
    if (court.metric == StackMetric::kF) return test ? model.decided_TL : model.decided_NL;
    if (court.metric == StackMetric::kBinary) return scores.gt(0.5);
    return at::one_hot(scores.argmax(1), scores.size(1));
  };
  const auto share_of = [&](auto&& decide) {
    std::vector<at::Tensor> tables;
    for (const Contestant& model : models) tables.push_back(decide(model).to(at::kDouble));
    return vote_share(at::stack(tables), court.loaded.weights);
  };
  const auto share = [&](bool test) {
    return share_of([&](const Contestant& model) { return decisions(model, test); });
  };
  Contestant c;
  c.name = "vote";
  c.probabilities = false;
  c.oof_NL = share(false);
  if (models.front().test_TL.defined()) c.test_TL = share(true);
  if (court.metric != StackMetric::kAccuracy) {
    c.decided_NL = decide_votes(c.oof_NL, court.job.vote, court.groups);
    if (c.test_TL.defined()) c.decided_TL = decide_votes(c.test_TL, court.job.vote, court.groups);
  }
  if (court.metric == StackMetric::kF) {
    const at::Tensor share_NL =
        share_of([&](const Contestant& model) { return decide_at_start(court, model.oof_NL); });
    c.at_start = sample_f_beta(court.input().targets_NL,
                               decide_votes(share_NL, court.job.vote, court.groups),
                               court.job.thresholds.beta, court.job.thresholds.empty_score);
  }
  finish(c, court);
  return c;
}

BlendObjective objective(const Court& court, const at::Tensor& y_NL) {
  if (court.job.objective == "log_loss") {
    return [&court, y_NL](const at::Tensor& scores) {
      return -mean_log_loss(court, scores.contiguous(), y_NL);
    };
  }
  return [&court, y_NL](const at::Tensor& scores) {
    at::Tensor decided;
    if (court.metric == StackMetric::kF) decided = decide_at_start(court, scores);
    return sample_scores(court.metric, y_NL, scores, decided, court.job.thresholds)
        .mean()
        .item<double>();
  };
}

void add_blends(const Court& court, StackVerdict& verdict) {
  const StackInput& input = court.input();
  const auto find = [&](auto&& search) {
    return cross_fit_blend(
        input.oof_MNL, input.folds, [&](const at::Tensor& p_MNL, const at::Tensor& rows) {
          return search(p_MNL, objective(court, input.targets_NL.index_select(0, rows)));
        });
  };
  verdict.greedy = find([&](const at::Tensor& p_MNL, const BlendObjective& good) {
    return select_greedily(p_MNL, court.job.greedy_rounds, good);
  });
  verdict.blend = find([&](const at::Tensor& p_MNL, const BlendObjective& good) {
    return search_weights(p_MNL, court.job.blend_step, good);
  });
  const auto add = [&](const std::string& name, const CrossFittedBlend& blend) {
    at::Tensor test_TL;
    if (input.test_MTL.defined()) test_TL = arithmetic_mean(input.test_MTL, blend.final.weights_M);
    verdict.contestants.push_back(by_scores(court, name, blend.oof_NL, test_TL, true));
  };
  add("greedy", verdict.greedy);
  add("blend", verdict.blend);
}

/// The mean of the models that hold in simulated private parts what they promise, and do not swing
/// from part to part more than others.
void add_stable(const Court& court, StackVerdict& verdict) {
  const StackInput& input = court.input();
  const size_t num_models = input.models.size();
  std::vector<std::pair<double, size_t>> ranked;
  std::vector<at::Tensor> scores;
  for (size_t m = 0; m < num_models; ++m) {
    ranked.emplace_back(verdict.contestants[m].score.value, m);
    scores.push_back(verdict.contestants[m].score_N);
  }
  std::sort(ranked.begin(), ranked.end());
  const size_t median = ranked[(num_models - 1) / 2].second;
  const LeaderboardSimulation simulation = simulate_leaderboard(
      at::stack(scores), static_cast<int64_t>(median),
      {.rounds = court.job.simulations, .public_share = 0.5, .seed = court.job.seed});
  std::vector<double> spread = simulation.gap_std;
  std::sort(spread.begin(), spread.end());
  const double widest = court.job.stability_spread * spread[(num_models - 1) / 2];
  std::vector<double> weights(num_models, 0);
  for (size_t m = 0; m < num_models; ++m) {
    const bool holds =
        simulation.beats_reference[m] >= court.job.stability && simulation.gap_std[m] <= widest;
    if (!holds && m != median) continue;
    weights[m] = court.loaded.weights[m];
    verdict.stable.push_back(input.models[m]);
  }
  if (*std::max_element(weights.begin(), weights.end()) <= 0) return;
  at::Tensor test_TL;
  if (input.test_MTL.defined()) test_TL = arithmetic_mean(input.test_MTL, weights);
  verdict.contestants.push_back(
      by_scores(court, "stable", arithmetic_mean(input.oof_MNL, weights), test_TL, true));
}

Court open_court(const LoadedStack& loaded, const StackJob& job) {
  const StackInput& input = loaded.input;
  return {loaded, job,
          input.classes              ? StackMetric::kAccuracy
          : input.labels.size() == 1 ? StackMetric::kBinary
                                     : StackMetric::kF,
          exclusive_groups(job.thresholds, input.labels)};
}

void add_models(const Court& court, StackVerdict& verdict) {
  const StackInput& input = court.input();
  verdict.metric = court.metric;
  std::vector<Contestant>& all = verdict.contestants;
  for (size_t m = 0; m < input.models.size(); ++m) {
    const auto place = static_cast<int64_t>(m);
    all.push_back(by_scores(court, input.models[m], input.oof_MNL[place],
                            input.test_MTL.defined() ? input.test_MTL[place] : at::Tensor(), true));
    all.back().is_model = true;
    if (all.back().score.value > all[verdict.best_model].score.value) verdict.best_model = m;
  }
}

void add_mean(const Court& court, StackVerdict& verdict, const char* name,
              at::Tensor (*combine)(const at::Tensor&, std::span<const double>),
              bool probabilities) {
  const StackInput& input = court.input();
  verdict.contestants.push_back(by_scores(
      court, name, combine(input.oof_MNL, court.loaded.weights),
      input.test_MTL.defined() ? combine(input.test_MTL, court.loaded.weights) : at::Tensor(),
      probabilities));
}

/// Intervals and simulated leaderboards of all contestants, on the same resamples.
void settle(const Court& court, StackVerdict& verdict) {
  std::vector<at::Tensor> scores;
  for (const Contestant& c : verdict.contestants) scores.push_back(c.score_N);
  const at::Tensor scores_CN = at::stack(scores);
  const auto reference = static_cast<int64_t>(verdict.best_model);
  const BootstrapResult bootstrap =
      bootstrap_scores(scores_CN, reference, court.job.resamples, court.job.seed);
  verdict.simulation = simulate_leaderboard(
      scores_CN, reference,
      {.rounds = court.job.simulations, .public_share = 0.5, .seed = court.job.seed});
  for (size_t c = 0; c < verdict.contestants.size(); ++c) {
    verdict.contestants[c].score = bootstrap.score_C[c];
    verdict.contestants[c].difference = bootstrap.difference_C[c];
    if (verdict.contestants[c].score.value > verdict.contestants[verdict.best].score.value)
      verdict.best = c;
  }
}

}  // namespace

const char* name_of(StackMetric metric) {
  switch (metric) {
    case StackMetric::kF:
      return "F";
    case StackMetric::kAccuracy:
      return "accuracy";
    case StackMetric::kBinary:
      return "accuracy at 0.5";
  }
  return "";
}

const Contestant& StackVerdict::find(const std::string& name) const {
  std::vector<std::string> names;
  for (const Contestant& c : contestants) {
    if (c.name == name) return c;
    names.push_back(c.name);
  }
  throw Error(ErrorKind::kConfiguration, fmt::format("submit: there is no '{}' to submit", name),
              suggestion(name, names));
}

at::Tensor sample_scores(StackMetric metric, const at::Tensor& targets_NL,
                         const at::Tensor& scores_NL, const at::Tensor& decided_NL,
                         const ThresholdOptions& options) {
  if (metric == StackMetric::kAccuracy)
    return targets_NL.argmax(1).eq(scores_NL.argmax(1)).to(at::kDouble);
  if (metric == StackMetric::kBinary) {
    const at::Tensor on_NL = decided_NL.defined() ? decided_NL.to(at::kBool) : scores_NL.gt(0.5);
    return on_NL.eq(targets_NL.gt(0.5)).select(1, 0).to(at::kDouble).contiguous();
  }
  const at::Tensor decided = decided_NL.to(at::kDouble);
  const double beta2 = options.beta * options.beta;
  const at::Tensor divisor = beta2 * targets_NL.sum(1) + decided.sum(1);
  const at::Tensor hits = (decided * targets_NL).sum(1);
  return at::where(divisor > 0, (1 + beta2) * hits / divisor.clamp_min(1e-300),
                   at::full_like(divisor, options.empty_score))
      .contiguous();
}

StackVerdict judge_models(const LoadedStack& loaded, const StackJob& job) {
  const at::NoGradGuard no_grad;
  const Court court = open_court(loaded, job);
  StackVerdict verdict;
  add_models(court, verdict);
  if (loaded.input.models.size() > 1) add_mean(court, verdict, "mean", arithmetic_mean, true);
  settle(court, verdict);
  return verdict;
}

StackVerdict judge(const LoadedStack& loaded, const StackJob& job,
                   std::optional<StackResult> fitted) {
  const at::NoGradGuard no_grad;
  const Court court = open_court(loaded, job);
  StackVerdict verdict;
  add_models(court, verdict);
  const std::vector<Contestant> models = verdict.contestants;
  add_mean(court, verdict, "mean", arithmetic_mean, true);
  add_mean(court, verdict, "geometric", geometric_mean, !loaded.input.classes);
  add_mean(court, verdict, "rank", rank_mean, false);
  verdict.contestants.push_back(by_vote(court, models));
  add_stable(court, verdict);
  add_blends(court, verdict);
  verdict.stack = fitted ? std::move(*fitted) : fit_stack(loaded.input, job.stacking);
  if (job.stacking.first_level) {
    verdict.contestants.push_back(
        by_scores(court, "ridge level 1", verdict.stack.level1_mean_NL, {}, false));
  }
  verdict.contestants.push_back(
      by_scores(court, "stack", verdict.stack.oof_NL, verdict.stack.test_TL, false));
  settle(court, verdict);
  return verdict;
}

}  // namespace baleen
