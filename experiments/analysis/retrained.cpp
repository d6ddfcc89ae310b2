#include "experiments/analysis/retrained.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "experiments/ensemble/contestants.h"

namespace baleen {
namespace {

/// What one held-out part showed.
struct Part {
  int64_t run = 0;
  std::vector<double> scores;  ///< of the models
  LeaderboardSimulation simulation;
  size_t leader() const {
    return static_cast<size_t>(std::max_element(scores.begin(), scores.end()) - scores.begin());
  }
};

std::vector<std::string> names_of(const StackVerdict& verdict) {
  std::vector<std::string> names;
  for (const Contestant& contestant : verdict.contestants) names.push_back(contestant.name);
  return names;
}

void add_parts(std::vector<Part>& parts, int64_t run, const LoadedStack& loaded,
               const StackVerdict& verdict, const StackJob& job) {
  std::vector<at::Tensor> scores;
  for (const Contestant& contestant : verdict.contestants) scores.push_back(contestant.score_N);
  const at::Tensor scores_CN = at::stack(scores);
  const at::Tensor folds_N = at::tensor(loaded.input.folds, at::kLong);
  const int64_t num_folds = folds_N.max().item<int64_t>() + 1;
  for (int64_t fold = 0; fold < num_folds; ++fold) {
    const at::Tensor part_CN = scores_CN.index_select(1, at::nonzero(folds_N == fold).squeeze(1));
    Part& part = parts.emplace_back();
    part.run = run;
    const at::Tensor mean_C = part_CN.mean(1).contiguous();
    part.scores.assign(mean_C.const_data_ptr<double>(),
                       mean_C.const_data_ptr<double>() + mean_C.numel());
    part.simulation = simulate_leaderboard(
        part_CN, 0,
        {.rounds = job.simulations, .public_share = 0.5, .seed = job.seed + std::ssize(parts)});
  }
}

/// Over all parts. @param pick gives a number of each
template <class Pick>
double mean_over(const std::vector<Part>& parts, const Pick& pick) {
  double sum = 0;
  for (const Part& part : parts) sum += pick(part);
  return sum / double(parts.size());
}

double share_of_same_leaders(const std::vector<Part>& parts) {
  int64_t pairs = 0, same = 0;
  for (size_t a = 0; a < parts.size(); ++a) {
    for (size_t b = 0; b < a; ++b) {
      if (parts[a].run == parts[b].run) continue;
      ++pairs;
      same += parts[a].leader() == parts[b].leader();
    }
  }
  return pairs > 0 ? double(same) / double(pairs) : std::nan("");
}

}  // namespace

RetrainedBoards simulate_retrained(const StackJob& job) {
  const at::NoGradGuard no_grad;
  RetrainedBoards result;
  std::vector<std::string> names;
  std::vector<Part> parts;
  for (const EnsembleInput& input : job.inputs) {
    StackJob one = job;
    one.inputs = {input};
    one.keep_degenerate = true;
    if (!is_run(input)) one.inputs.front().name = "model";  // not the name of its file
    const LoadedStack loaded = load_stack(one);
    if (loaded.fold_source.starts_with("drawn")) {
      throw Error(ErrorKind::kData, fmt::format("{} has no folds", input.path),
                  "without them nobody knows what its networks were trained on");
    }
    const StackVerdict verdict = judge_models(loaded, one);
    if (result.num_runs == 0) {
      names = names_of(verdict);
      result.metric = verdict.metric == StackMetric::kF ? fmt::format("F{:g}", job.thresholds.beta)
                                                        : name_of(verdict.metric);
    } else if (names_of(verdict) != names) {
      throw Error(ErrorKind::kData,
                  fmt::format("{} has other models than {}", input.path, job.inputs.front().path),
                  "give runs of one recipe that differ in folds.seed");
    }
    add_parts(parts, result.num_runs++, loaded, verdict, job);
  }
  result.num_parts = std::ssize(parts);
  result.rounds = job.simulations;
  result.leader_stays =
      mean_over(parts, [](const Part& part) { return part.simulation.leader_stays; });
  result.same_leader = share_of_same_leaders(parts);
  for (size_t m = 0; m < names.size(); ++m) {
    RetrainedModel& model = result.models.emplace_back();
    model.name = names[m];
    model.mean = mean_over(parts, [&](const Part& part) { return part.scores[m]; });
    const double variance = mean_over(parts, [&](const Part& part) {
      return (part.scores[m] - model.mean) * (part.scores[m] - model.mean);
    });
    model.retrain_std = parts.size() > 1
                            ? std::sqrt(variance * double(parts.size()) / double(parts.size() - 1))
                            : std::nan("");
    model.gap_std = mean_over(parts, [&](const Part& part) { return part.simulation.gap_std[m]; });
    model.leads =
        mean_over(parts, [&](const Part& part) { return part.leader() == m ? 1.0 : 0.0; });
    model.public_wins =
        mean_over(parts, [&](const Part& part) { return part.simulation.public_wins[m]; });
    model.private_wins =
        mean_over(parts, [&](const Part& part) { return part.simulation.private_wins[m]; });
    for (const Part& part : parts)
      model.largest_gap = std::max(model.largest_gap, part.simulation.largest_gap[m]);
  }
  return result;
}

std::string print_retrained(const RetrainedBoards& boards) {
  size_t width = 5;
  for (const RetrainedModel& model : boards.models) width = std::max(width, model.name.size());
  std::string text = fmt::format(
      "{} trainings, {} held-out parts, {} random public and private halves of each\n\n"
      "{:<{}}  {:>8}  {:>12}  {:>16}  {:>8}  {:>6}  {:>11}\n",
      boards.num_runs, boards.num_parts, boards.rounds, "", width, boards.metric, "± retraining",
      "public - private", "at most", "leads", "in private");
  for (const RetrainedModel& model : boards.models) {
    text +=
        fmt::format("{:<{}}  {:>8.4f}  {:>12.4f}  {:>16.4f}  {:>8.4f}  {:>4.0f} %  {:>9.0f} %\n",
                    model.name, width, model.mean, model.retrain_std, model.gap_std,
                    model.largest_gap, 100 * model.leads, 100 * model.private_wins);
  }
  text += fmt::format("the public leader leads in private, too, in {:.0f} % of the halves\n",
                      100 * boards.leader_stays);
  if (!std::isnan(boards.same_leader)) {
    text +=
        fmt::format("two trainings on other samples have the same leader in {:.0f} % of cases\n",
                    100 * boards.same_leader);
  }
  return text;
}

std::string retrained_to_json(const RetrainedBoards& boards) {
  nlohmann::ordered_json models = nlohmann::ordered_json::array();
  const auto number = [](double value) {
    return std::isnan(value) ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json(value);
  };
  for (const RetrainedModel& model : boards.models) {
    models.push_back({{"name", model.name},
                      {"mean", model.mean},
                      {"retrain_std", number(model.retrain_std)},
                      {"gap_std", model.gap_std},
                      {"largest_gap", model.largest_gap},
                      {"leads", model.leads},
                      {"public_wins", model.public_wins},
                      {"private_wins", model.private_wins}});
  }
  return nlohmann::ordered_json{{"format", "baleen-retrained"},
                                {"version", 1},
                                {"metric", boards.metric},
                                {"trainings", boards.num_runs},
                                {"parts", boards.num_parts},
                                {"rounds", boards.rounds},
                                {"models", models},
                                {"leader_stays", boards.leader_stays},
                                {"same_leader", number(boards.same_leader)}}
             .dump(1) +
         "\n";
}

}  // namespace baleen
