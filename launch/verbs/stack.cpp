#include <fmt/format.h>

#include <CLI/App.hpp>
#include <cstdio>

#include "core/config/decode.h"
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

/// One number per input, in the order of the command line.
template <class Assign>
void give_inputs(std::vector<EnsembleInput>& inputs, size_t count, const char* option,
                 const Assign& assign) {
  if (count == 0) return;
  if (count != inputs.size()) {
    throw Error(ErrorKind::kUsage,
                fmt::format("{} gives {} values for {} inputs", option, count, inputs.size()));
  }
  for (size_t i = 0; i < count; ++i) assign(inputs[i], i);
}

StackJob make_job(const StackArguments& arguments) {
  const auto ends = [](const std::string& text, const char* ending) {
    return std::filesystem::path(text).extension() == ending;
  };
  const std::string& first = arguments.inputs.front();
  const bool described = ends(first, ".yaml") || ends(first, ".yml");
  config::Document document =
      described ? config::Document::load(first) : config::Document::parse("", "command line");
  for (const std::string& assignment : arguments.assignments) document.set(assignment);
  StackJob defaults;
  for (size_t i = described ? 1 : 0; i < arguments.inputs.size(); ++i)
    defaults.inputs.push_back({.path = arguments.inputs[i]});
  if (described && arguments.inputs.size() > 1) {
    throw Error(ErrorKind::kUsage, "a description and inputs exclude each other",
                "list the inputs in " + first);
  }
  StackJob job = config::decode<StackJob>(document, defaults);
  if (!arguments.labels.empty()) job.labels = arguments.labels;
  if (!arguments.folds.empty()) job.folds_from = arguments.folds;
  if (!arguments.as.empty()) job.as = arguments.as;
  if (!arguments.submit.empty()) job.submit = arguments.submit;
  if (!arguments.out.empty()) job.output = arguments.out;
  give_inputs(job.inputs, arguments.tests.size(), "--test",
              [&](EnsembleInput& input, size_t i) { input.test = arguments.tests[i]; });
  give_inputs(job.inputs, arguments.weights.size(), "--weights",
              [&](EnsembleInput& input, size_t i) { input.weight = arguments.weights[i]; });
  give_inputs(
      job.inputs, arguments.public_scores.size(), "--public-scores",
      [&](EnsembleInput& input, size_t i) { input.public_score = arguments.public_scores[i]; });
  return job;
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
