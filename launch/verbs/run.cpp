#include <CLI/App.hpp>
#include <CLI/Validators.hpp>
#include <cstdio>

#include "distributed/communicator.h"
#include "experiments/failure.h"
#include "experiments/run.h"
#include "launch/verbs/recipe_arguments.h"
#include "launch/verbs/verbs.h"

namespace baleen {
namespace {

struct RunArguments {
  RecipeArguments recipe;
  std::string resume = "auto";
  std::string run_dir;
  double wait_s = 0;
};

Recipe load(const RunArguments& arguments, Extensions& extensions) {
  Recipe recipe = arguments.recipe.load(extensions);
  if (!arguments.run_dir.empty()) recipe.run_dir = arguments.run_dir;
  return recipe;
}

int run(const RunArguments& arguments, VerbContext& context) {
  MpiEnvironment& mpi = *context.mpi;
  RunRequest request;
  Extensions extensions = *context.extensions;
  request.recipe = load(arguments, extensions);
  if (arguments.recipe.print_config) {
    if (mpi.rank() == 0) std::fputs(describe(request.recipe).c_str(), stdout);
    return 0;
  }
  request.resume = Resume::parse(arguments.resume);
  request.wait_s = arguments.wait_s;
  request.command_line = context.command_line;
  request.stop_requested = [stop = context.stop] { return stop->load(); };
  request.directory_opened = [&context, &mpi](const RunDirectory& directory) {
    context.log_to_file(directory.log(mpi.rank()));
    context.on_failure = [directory, rank = mpi.rank(), host = mpi.host()](const Error& error) {
      record_failure(directory.failure(), {error, rank, host, "", 0});
    };
  };
  return run_recipe(request, extensions, mpi);
}

}  // namespace

Verb make_run_verb() {
  Verb verb;
  verb.name = "run";
  verb.heeds_stop = true;
  verb.summary = "train, predict, stack and report what a recipe says; the same line resumes";
  verb.examples =
      "  mpirun -n 4 baleen run planet.yaml\n"
      "  mpirun -n 4 baleen run planet.yaml --set folds.count=3 --run-dir runs/three-folds\n"
      "  srun --mpi=pmix baleen run planet.yaml --resume must";
  verb.needs_mpi = true;
  verb.files = {
      {"RUN/config.resolved.yaml", "the recipe with all defaults"},
      {"RUN/journal.jsonl", "what is finished; a resume goes by it"},
      {"RUN/chains/NAME/", "checkpoints, weights, predictions and metrics of a network and fold"},
      {"RUN/oof.h5", "out-of-fold and test predictions of all models"},
      {"RUN/metrics.csv, RUN/metrics.jsonl, RUN/tb/",
       "every epoch's losses and metrics; for TensorBoard, too"},
      {"RUN/stack/", "scores, weights and predictions of the second stage"},
      {"RUN/report.html", "the report, one file that needs no network"},
      {"RUN/trials.csv, RUN/best.yaml, RUN/trials/NNNN/", "of a sweep"},
      {"RUN/logs/rank-N.log", "what each rank had to say"},
      {"RUN/failure.json", "what went wrong, root cause first"},
  };
  auto arguments = std::make_shared<RunArguments>();
  verb.declare_options = [arguments](CLI::App& app) {
    arguments->recipe.declare(app);
    app.add_option("--run-dir", arguments->run_dir,
                   "keep the run here; default: the recipe's run_dir, else runs/<name>")
        ->option_text("PATH");
    app.add_option("--resume", arguments->resume,
                   "auto: go on where there is a run, else start (default); never: refuse an "
                   "existing run; must: refuse to "
                   "start; PATH: go on with that run directory")
        ->option_text("auto|never|must|PATH");
    app.add_option("--wait", arguments->wait_s,
                   "how long a job that holds the run directory is waited for; default: 0, it is "
                   "refused at once")
        ->check(CLI::Range(0.0, 86400.0).description(""))
        ->option_text("SECONDS");
  };
  verb.run = [arguments](VerbContext& context) { return run(*arguments, context); };
  return verb;
}

}  // namespace baleen
