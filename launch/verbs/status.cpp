#include <CLI/App.hpp>
#include <chrono>
#include <cstdio>
#include <thread>

#include "core/base/console.h"
#include "core/base/stopwatch.h"
#include "experiments/run_status.h"
#include "launch/process.h"
#include "launch/verbs/verbs.h"

namespace baleen {
namespace {

struct StatusArguments {
  std::string run;
  double watch_s = 0;
};

std::string description(const RunDirectory& directory) {
  return describe_run(directory, unix_seconds());
}

int status(const StatusArguments& arguments, const std::atomic<bool>& stop) {
  if (launch_place().rank > 0) return 0;
  const RunDirectory directory(arguments.run);
  std::printf("%s", description(directory).c_str());
  std::fflush(stdout);
  using Clock = std::chrono::steady_clock;
  while (arguments.watch_s > 0) {
    const auto until = Clock::now() + std::chrono::duration<double>(arguments.watch_s);
    while (Clock::now() < until) {
      if (stop) return 0;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    // Home and clear: the table is redrawn in place where there is a terminal.
    const bool redraws = standard_error().output().is_terminal();
    std::printf("%s%s", redraws ? "\033[H\033[2J" : "\n", description(directory).c_str());
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace

Verb make_status_verb() {
  Verb verb;
  verb.name = "status";
  verb.heeds_stop = true;
  verb.summary = "how far a run is, from any terminal or host that sees its directory";
  verb.examples = "  baleen status runs/planet --watch 5";
  auto arguments = std::make_shared<StatusArguments>();
  verb.declare_options = [arguments](CLI::App& app) {
    app.add_option("run", arguments->run, "run directory")->required();
    app.add_option("--watch", arguments->watch_s, "show it again every so many seconds")
        ->option_text("SECONDS")
        ->check(CLI::Range(0.2, 86400.0));
  };
  verb.run = [arguments](VerbContext& context) { return status(*arguments, *context.stop); };
  return verb;
}

}  // namespace baleen
