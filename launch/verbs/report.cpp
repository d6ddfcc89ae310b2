#include <CLI/App.hpp>
#include <cstdio>

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
};

int report(const ReportArguments& arguments) {
  if (launch_place().rank > 0) return 0;
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
  verb.examples = "  baleen report runs/planet --out planet.html";
  auto arguments = std::make_shared<ReportArguments>();
  verb.declare_options = [arguments](CLI::App& app) {
    app.add_option("run", arguments->run, "run directory")->required();
    app.add_option("--out", arguments->out,
                   "file to write; default: report.html in the run directory")
        ->option_text("FILE");
  };
  verb.run = [arguments](VerbContext&) { return report(*arguments); };
  return verb;
}

}  // namespace baleen
