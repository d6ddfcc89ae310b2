#include <fmt/format.h>

#include <CLI/App.hpp>
#include <cstdio>
#include <type_traits>

#include "core/config/decode.h"
#include "core/config/document.h"
#include "core/config/encode.h"
#include "distributed/communicator.h"
#include "experiments/ensemble/stack_job.h"
#include "launch/process.h"
#include "launch/verbs/verbs.h"

namespace baleen {
namespace {

struct StackArguments {
  std::vector<std::string> inputs, tests, assignments;
  std::vector<double> weights, public_scores;
  std::string labels, folds, as, submit, out;
  bool print_config = false;
};

/// Puts an option where a description would say it, so that it is checked as one.
void put(config::Document& document, const std::string& path, config::Node value,
         const std::string& option) {
  value.position.source = option;
  document.assign(path, std::move(value));
}

void put_text(config::Document& document, const std::string& path, const std::string& text,
              const std::string& option) {
  if (!text.empty()) put(document, path, config::scalar(text, /*quoted=*/true), option);
}

/// One value per input, in the order of the command line.
template <class Value>
void put_for_inputs(config::Document& document, const std::string& key,
                    const std::vector<Value>& values, const std::string& option) {
  if (values.empty()) return;
  const config::Node* inputs = document.root().find("inputs");
  const size_t count = inputs ? inputs->items.size() : 0;
  if (values.size() != count) {
    throw Error(ErrorKind::kUsage,
                fmt::format("{} gives {} values for {} inputs", option, values.size(), count));
  }
  constexpr bool kText = std::is_same_v<Value, std::string>;
  for (size_t i = 0; i < count; ++i) {
    put(document, fmt::format("inputs.{}.{}", i, key),
        config::scalar(fmt::format("{}", values[i]), kText), option);
  }
}

StackJob make_job(const StackArguments& arguments) {
  const auto ends = [](const std::string& text, const char* ending) {
    return std::filesystem::path(text).extension() == ending;
  };
  const std::string& first = arguments.inputs.front();
  const bool described = ends(first, ".yaml") || ends(first, ".yml");
  if (described && arguments.inputs.size() > 1) {
    throw Error(ErrorKind::kUsage, "a description and inputs exclude each other",
                "list the inputs in " + first);
  }
  config::Document document =
      described ? config::Document::load(first) : config::Document::parse("", "command line");
  if (!described) {
    config::Node inputs{.kind = config::Node::Kind::kList};
    for (const std::string& path : arguments.inputs) {
      config::Node& input = inputs.items.emplace_back();
      input.kind = config::Node::Kind::kMap;
      input.entries.push_back({"path", {}, config::scalar(path, /*quoted=*/true), {}});
    }
    put(document, "inputs", std::move(inputs), "command line");
  }
  for (const std::string& assignment : arguments.assignments) document.set(assignment);
  put_text(document, "labels", arguments.labels, "--labels");
  put_text(document, "folds_from", arguments.folds, "--folds");
  put_text(document, "as", arguments.as, "--as");
  put_text(document, "submit", arguments.submit, "--submit");
  put_text(document, "output", arguments.out, "--out");
  put_for_inputs(document, "test", arguments.tests, "--test");
  put_for_inputs(document, "weight", arguments.weights, "--weights");
  put_for_inputs(document, "public_score", arguments.public_scores, "--public-scores");
  return config::decode<StackJob>(document);
}

int stack(const StackArguments& arguments, VerbContext& context) {
  const bool first = launch_place().rank == 0;
  const StackJob job = make_job(arguments);
  if (arguments.print_config) {
    if (first) std::fputs(config::print_yaml(config::encode(job, true)).c_str(), stdout);
    return 0;
  }
  const auto world = context.mpi ? context.mpi->world() : nullptr;
  std::fputs(run_stack_job(job, world.get()).c_str(), stdout);
  return 0;
}

}  // namespace

Verb make_stack_verb() {
  Verb verb;
  verb.name = "stack";
  verb.shares_work = true;
  verb.summary = "combine models: ridge, votes, blends; runs, or anyone's tables and submissions";
  verb.examples =
      "  baleen stack runs/planet runs/planet-dehazed --out stack\n"
      "  baleen stack oof/*.csv --labels labels.csv --folds folds.csv\n"
      "  baleen stack oof/a.csv oof/b.csv --test test/a.csv test/b.csv --labels labels.csv\n"
      "  baleen stack top5/*.csv --as lists --public-scores .883,.912\n"
      "  baleen stack stack.yaml\n"
      "  mpirun -n 5 baleen stack runs/planet\n"
      "docs/stacking.md explains the methods and every key.";
  verb.files = {
      {"OUT/scores.json, OUT/stack.json",
       "each combination's scores; penalties, weights, intercepts"},
      {"OUT/stack.html", "the table of all combinations, and what the second stage is worth"},
      {"OUT/oof.csv, OUT/test.csv", "scores of the combination that --submit names"},
      {"OUT/submission.csv", "its answers for the test set, or what submissions were combined to"},
      {"OUT/ensemble.json", "which submissions took part"},
  };
  auto arguments = std::make_shared<StackArguments>();
  verb.declare_options = [arguments](CLI::App& app) {
    app.add_option("inputs", arguments->inputs,
                   "runs and tables (CSV, .gz, HDF5), or one YAML file that lists them")
        ->required();
    app.add_option("--labels", arguments->labels, "CSV of what is true; default: from the runs")
        ->option_text("FILE");
    app.add_option("--folds", arguments->folds, "CSV with an id and `fold`")->option_text("FILE");
    app.add_option("--test", arguments->tests,
                   "predictions for the test set, one file per input in their order")
        ->option_text("FILE...");
    app.add_option("--weights", arguments->weights, "one per input, separated by commas")
        ->delimiter(',')
        ->option_text("W,...");
    app.add_option("--public-scores", arguments->public_scores,
                   "leaderboard scores, whose squares are the weights")
        ->delimiter(',')
        ->option_text("S,...");
    app.add_option("--as", arguments->as, "what submissions hold; default: auto, which looks")
        ->option_text("auto|probabilities|tags|lists|scores");
    app.add_option("--submit", arguments->submit,
                   "the combination whose test predictions are written; default: stack")
        ->option_text("NAME");
    app.add_option("--out", arguments->out, "folder to write to; default: stack")
        ->option_text("DIR");
    app.add_option("--set", arguments->assignments,
                   "change one key, e.g. --set stacking.inputs=logits; may be repeated")
        ->option_text("KEY=VALUE")
        ->allow_extra_args(false);
    app.add_flag("--print-config", arguments->print_config,
                 "print every key with its value, and stop");
  };
  verb.run = [arguments](VerbContext& context) { return stack(*arguments, context); };
  return verb;
}

}  // namespace baleen
