#include <CLI/App.hpp>
#include <CLI/Validators.hpp>
#include <cstdio>

#include "core/config/decode.h"
#include "experiments/analysis/analyze_job.h"
#include "launch/process.h"
#include "launch/verbs/verbs.h"

namespace baleen {
namespace {

struct AnalyzeArguments {
  std::vector<std::string> inputs, assignments;
  std::string labels, folds;
  AnalyzeJob job;
};

int analyze(AnalyzeArguments& arguments) {
  if (launch_place().rank > 0) return 0;
  config::Document document = config::Document::parse("", "command line");
  for (const std::string& assignment : arguments.assignments) document.set(assignment);
  StackJob defaults;
  for (const std::string& input : arguments.inputs) defaults.inputs.push_back({.path = input});
  arguments.job.stack = config::decode<StackJob>(document, defaults);
  if (!arguments.labels.empty()) arguments.job.stack.labels = arguments.labels;
  if (!arguments.folds.empty()) arguments.job.stack.folds_from = arguments.folds;
  std::fputs(run_analyze_job(arguments.job).c_str(), stdout);
  return 0;
}

}  // namespace

Verb make_analyze_verb() {
  Verb verb;
  verb.name = "analyze";
  verb.summary = "scores by label, fold and model, calibration, diversity, confusing samples";
  verb.examples =
      "  baleen analyze runs/planet\n"
      "  baleen analyze oof/*.csv --labels labels.csv --images train/\n"
      "  baleen analyze --retrained runs/half-*\n"
      "docs/analysis.md explains the figures.";
  verb.files = {
      {"OUT/analysis.html", "one page that needs no network"},
      {"OUT/analysis.json", "all its figures"},
  };
  auto arguments = std::make_shared<AnalyzeArguments>();
  verb.declare_options = [arguments](CLI::App& app) {
    app.add_option("inputs", arguments->inputs, "runs, or tables of out-of-fold predictions")
        ->required();
    app.add_option("--labels", arguments->labels, "CSV of what is true; default: from the runs")
        ->option_text("FILE");
    app.add_option("--folds", arguments->folds, "CSV with an id and `fold`")->option_text("FILE");
    app.add_option("--images", arguments->job.images, "folder with a picture per id")
        ->option_text("DIR");
    app.add_option("--confusing", arguments->job.confusing, "samples to show; default: 24")
        ->check(CLI::Range(0, 10000).description(""))
        ->option_text("N");
    app.add_flag("--retrained", arguments->job.retrained,
                 "simulate competitions: the runs are one recipe trained on different samples, by "
                 "another folds.seed each");
    app.add_option("--out", arguments->job.output, "folder to write to; default: analysis")
        ->option_text("DIR");
    app.add_option("--set", arguments->assignments,
                   "change one key of docs/stacking.md, e.g. --set thresholds.method=exact")
        ->option_text("KEY=VALUE")
        ->allow_extra_args(false);
  };
  verb.run = [arguments](VerbContext&) { return analyze(*arguments); };
  return verb;
}

}  // namespace baleen
