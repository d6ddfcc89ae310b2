#include "experiments/sweep/trials.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <tuple>

#include "core/base/error.h"
#include "core/config/decode.h"
#include "core/config/encode.h"
#include "experiments/recipe_checks.h"
#include "experiments/sweep/draw.h"

namespace baleen {
namespace {

using config::Document;
using config::Node;
using config::Problem;

bool is_number_or_word_of_json(const std::string& text) {
  if (text == "true" || text == "false" || text == "null") return true;
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() && std::isfinite(number);
}

/// YAML's plain words get their quotes.
Node as_json(Node node) {
  if (node.kind == Node::Kind::kScalar)
    node.quoted = node.quoted || !is_number_or_word_of_json(node.text);
  for (Node& item : node.items) item = as_json(std::move(item));
  for (config::Entry& entry : node.entries) entry.value = as_json(std::move(entry.value));
  return node;
}

std::string text_of(const Node& value) {
  return value.kind == Node::Kind::kScalar ? value.text : config::print_json(as_json(value));
}

void flatten(const Node& node, const std::string& path, std::map<std::string, std::string>& out) {
  if (node.is_map() && !node.entries.empty()) {
    for (const config::Entry& entry : node.entries)
      flatten(entry.value, config::join_path(path, entry.key), out);
  } else {
    out[path] = node.kind == Node::Kind::kNull ? "none" : text_of(node);
  }
}

/// What trials have to say, each mistake once: with the first trial that makes it, unless all do.
class TrialProblems {
 public:
  void add(const SweepTrials& sweep, const Trial& trial, std::vector<Problem> problems) {
    ++num_trials_;
    for (Problem& problem : problems) {
      const auto same = std::find_if(seen_.begin(), seen_.end(), [&](const Seen& seen) {
        return std::tie(seen.problem.message, seen.problem.position.source,
                        seen.problem.position.line, seen.problem.position.column) ==
               std::tie(problem.message, problem.position.source, problem.position.line,
                        problem.position.column);
      });
      if (same == seen_.end()) {
        seen_.push_back({std::move(problem), describe_values(sweep, trial), trial.number, 1});
      } else {
        ++same->count;
      }
    }
  }

  std::vector<Problem> take() {
    std::vector<Problem> problems;
    for (Seen& seen : seen_) {
      if (seen.count < num_trials_)
        seen.problem.message +=
            fmt::format(" (trial {} of the sweep: {})", trial_name(seen.number), seen.values);
      problems.push_back(std::move(seen.problem));
    }
    return problems;
  }

 private:
  struct Seen {
    Problem problem;
    std::string values;
    int64_t number = 0;
    int64_t count = 0;
  };
  std::vector<Seen> seen_;
  int64_t num_trials_ = 0;
};

/// Values may be written in two ways and mean the same recipe.
void check_different(const SweepTrials& sweep, std::vector<Problem>& problems) {
  std::map<std::string, int64_t> seen;
  for (const Trial& trial : sweep.trials) {
    Recipe nameless = trial.recipe;
    nameless.name = "";
    const auto [first, is_new] = seen.emplace(config::to_json(nameless), trial.number);
    if (is_new) continue;
    problems.push_back(
        {sweep.config.space.position,
         fmt::format("trials {} and {} are the same recipe: {}; {}", trial_name(first->second),
                     trial.name,
                     describe_values(sweep, sweep.trials[static_cast<size_t>(first->second)]),
                     describe_values(sweep, trial))});
  }
}

/// Whether a key is known not to change how long a step takes.
bool leaves_pace_alone(const std::string& key) {
  constexpr std::array kNames = {"lr",    "weight_decay", "head_weight_decay", "momentum",
                                 "beta1", "beta2",        "epsilon",           "epochs",
                                 "seed",  "dropout"};
  if (key.find(".schedule.") != std::string::npos) return true;
  const std::string name = key.substr(key.rfind('.') + 1);  // all of it where there is no dot
  return std::find(kNames.begin(), kNames.end(), name) != kNames.end();
}

}  // namespace

std::string trial_name(int64_t number) { return fmt::format("{:04}", number); }

std::string describe_values(const SweepTrials& sweep, const Trial& trial) {
  std::string text;
  for (size_t a = 0; a < sweep.axes.size(); ++a)
    text +=
        fmt::format("{}{} = {}", text.empty() ? "" : ", ", sweep.axes[a].key, trial.values.at(a));
  return text;
}

std::string pace_values(const SweepTrials& sweep, const Trial& trial) {
  std::string text;
  for (size_t a = 0; a < sweep.axes.size(); ++a) {
    if (!leaves_pace_alone(sweep.axes[a].key))
      text += fmt::format("{}={};", sweep.axes[a].key, trial.values.at(a));
  }
  return text;
}

bool has_sweep(const Document& document) {
  const Node* sweep = document.root().find("sweep");
  return sweep && sweep->kind != Node::Kind::kNull;
}

Recipe decode_sweep(const Document& document, const Extensions* extensions) {
  std::vector<Problem> problems;
  auto sweep = std::make_shared<SweepTrials>();
  sweep->config =
      config::decode_part<SweepConfig>(*document.root().find("sweep"), "sweep", problems);
  Document base = document;
  base.erase("sweep");
  std::vector<Problem> of_base;
  Recipe recipe = decode_one_recipe(base, extensions, of_base);
  std::vector<std::vector<Node>> values;
  if (problems.empty()) {
    sweep->axes = axes_of(sweep->config.space, problems);
    values = draw_trials(sweep->config, sweep->axes, problems);
  }
  if (!problems.empty()) {
    problems.insert(problems.end(), of_base.begin(), of_base.end());
    config::throw_if_any(std::move(problems));
  }

  TrialProblems of_trials;
  for (size_t i = 0; i < values.size(); ++i) {
    Trial trial;
    trial.number = static_cast<int64_t>(i);
    trial.name = trial_name(trial.number);
    Document changed = base;
    for (size_t a = 0; a < sweep->axes.size(); ++a) {
      trial.values.push_back(text_of(values[i][a]));
      changed.assign(sweep->axes[a].key, std::move(values[i][a]));
    }
    std::vector<Problem> found;
    trial.recipe = decode_one_recipe(changed, extensions, found);
    trial.recipe.name = fmt::format("{}-{}", recipe.name, trial.name);
    trial.recipe.run_dir.clear();
    of_trials.add(*sweep, trial, std::move(found));
    sweep->trials.push_back(std::move(trial));
  }
  problems = of_trials.take();
  if (problems.empty()) check_different(*sweep, problems);
  config::throw_if_any(std::move(problems));
  recipe.sweep = sweep->config;
  recipe.trials = std::move(sweep);
  return recipe;
}

std::map<std::string, std::string> sweep_identity(const SweepConfig& config) {
  std::map<std::string, std::string> identity;
  flatten(config::encode(config), "sweep", identity);
  return identity;
}

}  // namespace baleen
