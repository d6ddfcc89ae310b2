#include <CLI/App.hpp>
#include <cstdio>

#include "core/base/atomic_file.h"
#include "experiments/analysis/compare_runs.h"
#include "experiments/collect_report.h"
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
};

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

int report(const ReportArguments& arguments) {
  if (launch_place().rank > 0) return 0;
  if (!arguments.compare.empty()) return compare(arguments);
  if (arguments.run.empty()) throw Error(ErrorKind::kUsage, "which run? give its directory");
  const RunDirectory directory(arguments.run);
  const std::filesystem::path file =
      arguments.out.empty() ? directory.report() : std::filesystem::path(arguments.out);
  write_report(file, collect_report(directory, nullptr));
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
      "  baleen report --compare runs/planet runs/planet-dehazed";
  auto arguments = std::make_shared<ReportArguments>();
  verb.declare_options = [arguments](CLI::App& app) {
    app.add_option("run", arguments->run, "run directory");
    app.add_option("--out", arguments->out,
                   "file to write; default: report.html in the run directory")
        ->option_text("FILE");
    app.add_option("--compare", arguments->compare,
                   "two finished runs, on the samples that both have; writes compare.html")
        ->expected(2)
        ->option_text("A B");
  };
  verb.run = [arguments](VerbContext&) { return report(*arguments); };
  return verb;
}

}  // namespace baleen
