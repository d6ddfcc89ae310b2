#include <CLI/App.hpp>
#include <cstdio>

#include "core/base/atomic_file.h"
#include "core/base/logging.h"
#include "experiments/analysis/compare_runs.h"
#include "experiments/collect_report.h"
#include "experiments/extensions.h"
#include "experiments/recipe.h"
#include "experiments/report/report.h"
#include "experiments/run.h"
#include "launch/process.h"
#include "launch/verbs/verbs.h"

namespace baleen {
namespace {

struct ReportArguments {
  std::string run;
  std::string out;
  std::vector<std::string> compare;
  bool text = false;
};

/// The registry that knows a run's networks, too, where its plug-ins are still there.
Extensions extensions_of(const RunDirectory& directory, const Extensions& built_in) {
  Extensions extensions = built_in;
  try {
    load_recipe(directory.config(), {}, extensions);
  } catch (...) {
    log_warning("{}", current_error().what());
    return built_in;
  }
  return extensions;
}

int compare(const ReportArguments& arguments) {
  if (!arguments.run.empty()) {
    throw Error(ErrorKind::kUsage, "--compare takes the place of the run",
                "give two runs: baleen report --compare A B");
  }
  const RunComparison comparison = compare_runs(arguments.compare[0], arguments.compare[1]);
  const std::filesystem::path file = arguments.out.empty() ? "compare.html" : arguments.out;
  write_file_atomically(file, render_comparison(comparison));
  std::fputs(print_comparison(comparison).c_str(), stdout);
  std::printf("report: %s\n", file.c_str());
  return 0;
}

int report(const ReportArguments& arguments, VerbContext& context) {
  if (launch_place().rank > 0) return 0;
  if (!arguments.compare.empty()) return compare(arguments);
  if (arguments.run.empty()) throw Error(ErrorKind::kUsage, "which run? give its directory");
  const RunDirectory directory(arguments.run);
  const Extensions extensions = std::filesystem::exists(directory.config())
                                    ? extensions_of(directory, *context.extensions)
                                    : *context.extensions;
  // A terminal shows no pictures.
  const ReportData data = collect_report(
      directory, nullptr, {.backbones = arguments.text ? nullptr : &extensions.backbones});
  if (arguments.text) {
    std::fputs(report_text(data).c_str(), stdout);
    return 0;
  }
  const std::filesystem::path file =
      arguments.out.empty() ? directory.report() : std::filesystem::path(arguments.out);
  write_report(file, data);
  std::printf("report: %s\n", file.c_str());
  return 0;
}

}  // namespace

Verb make_report_verb() {
  Verb verb;
  verb.name = "report";
  verb.summary = "write one self-contained HTML page about a run, finished or not";
  verb.examples =
      "  baleen report runs/planet --out planet.html\n"
      "  baleen report runs/planet --text | less -S\n"
      "  baleen report --compare runs/planet runs/planet-dehazed";
  verb.files = {
      {"RUN/report.html", "one page that needs no network"},
  };
  auto arguments = std::make_shared<ReportArguments>();
  verb.declare_options = [arguments](CLI::App& app) {
    app.add_option("run", arguments->run, "run directory");
    app.add_option("--out", arguments->out,
                   "file to write; default: report.html in the run directory")
        ->option_text("FILE");
    app.add_flag("--text", arguments->text, "print tables instead, for a terminal");
    app.add_option("--compare", arguments->compare,
                   "two finished runs, on the samples that both have; writes compare.html")
        ->expected(2)
        ->option_text("A B");
  };
  verb.run = [arguments](VerbContext& context) { return report(*arguments, context); };
  return verb;
}

}  // namespace baleen
