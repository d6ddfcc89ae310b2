#include <CLI/App.hpp>
#include <CLI/Validators.hpp>
#include <cstdio>

#include "experiments/journal.h"
#include "experiments/run.h"
#include "experiments/sweep/prepared_sweep.h"
#include "launch/process.h"
#include "launch/verbs/recipe_arguments.h"
#include "launch/verbs/verbs.h"

namespace baleen {
namespace {

struct PlanArguments {
  RecipeArguments recipe;
  std::string run_dir;
  int ranks = 0;
};

/// What earlier starts of the same plan left behind: chains that need not run again, and how long
/// those took that one start trained from beginning to end.
struct History {
  std::vector<std::string> finished;
  CostRates rates;
};

History read_history(const Plan& plan, const RunDirectory& directory) {
  History history;
  if (!std::filesystem::exists(directory.journal())) return history;
  const JournalState journal = read_journal(directory.journal());
  if (journal.plan_hash != plan.hash) return history;
  history.finished = journal.finished_names();
  history.rates = measured_rates(plan, journal);
  return history;
}

int print(const PlanArguments& arguments, Extensions extensions) {
  if (launch_place().rank > 0) return 0;
  Recipe recipe = arguments.recipe.load(extensions);
  if (!arguments.run_dir.empty()) recipe.run_dir = arguments.run_dir;
  if (arguments.recipe.print_config) {
    std::fputs(describe(recipe).c_str(), stdout);
    return 0;
  }
  const PreparedRun prepared = prepare_run(recipe, &extensions);
  const History history = read_history(prepared.plan, RunDirectory(recipe.run_directory()));
  const int ranks = arguments.ranks > 0 ? arguments.ranks : launch_place().world_size;
  const std::string text =
      prepared.sweep
          ? print_sweep_plan(*prepared.sweep, prepared.plan, ranks, history.rates, history.finished)
          : print_plan(prepared.plan, ranks, history.rates, history.finished);
  std::fputs(text.c_str(), stdout);
  return 0;
}

}  // namespace

Verb make_plan_verb() {
  Verb verb;
  verb.name = "plan";
  verb.summary = "show what a run would do and how long it would take; nothing is run";
  verb.examples =
      "  baleen plan planet.yaml --ranks 4\n"
      "  baleen plan planet.yaml --ranks 8 --set training.logical_shards=4";
  auto arguments = std::make_shared<PlanArguments>();
  verb.declare_options = [arguments](CLI::App& app) {
    arguments->recipe.declare(app);
    app.add_option("--ranks", arguments->ranks, "how many ranks the run would have; default: 1")
        ->check(CLI::Range(1, 1000000).description(""))
        ->option_text("N");
    app.add_option("--run-dir", arguments->run_dir,
                   "take times and finished chains from here; default: the recipe's")
        ->option_text("PATH");
  };
  verb.run = [arguments](VerbContext& context) { return print(*arguments, *context.extensions); };
  return verb;
}

}  // namespace baleen
