#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cstdio>
#include <thread>

#include "core/base/atomic_file.h"
#include "data/duplicate_report.h"
#include "launch/process.h"
#include "launch/verbs/verbs.h"

namespace baleen {
namespace {

struct DuplicatesArguments {
  std::vector<std::string> datasets;
  std::string output;
  DuplicateOptions options;
  int64_t threads = 0;
};

int run_duplicates(const DuplicatesArguments& arguments, const VerbContext& context) {
  if (launch_place().rank > 0) return 0;
  DuplicateSearchControl control;
  control.threads = arguments.threads > 0
                        ? arguments.threads
                        : std::max<int64_t>(1, std::thread::hardware_concurrency());
  control.stop_requested = [&] { return context.stop->load(); };
  const auto first = PackedDataset::open(arguments.datasets[0]);
  const DuplicateReport report =
      arguments.datasets.size() == 1
          ? find_duplicates(first, arguments.options, control)
          : match_datasets(first, PackedDataset::open(arguments.datasets[1]), arguments.options,
                           control);
  if (arguments.output.empty()) {
    std::fputs(report.csv.c_str(), stdout);
    std::fputs(report.summary.c_str(), stderr);
  } else {
    write_file_atomically(arguments.output, report.csv);
    std::printf("%slisted in %s\n", report.summary.c_str(), arguments.output.c_str());
  }
  return 0;
}

}  // namespace

Verb make_duplicates_verb() {
  Verb verb;
  verb.name = "duplicates";
  verb.heeds_stop = true;
  verb.summary = "find images of the same picture in a packed dataset, or between two";
  verb.examples =
      "  baleen duplicates packed/photos                         pictures that occur twice or "
      "more\n"
      "  baleen duplicates packed/test packed/train --output known.csv\n"
      "                                                          test images with known answers";
  auto arguments = std::make_shared<DuplicatesArguments>();
  verb.declare_options = [arguments](CLI::App& app) {
    DuplicateOptions& options = arguments->options;
    app.add_option("dataset", arguments->datasets,
                   "one packed dataset, or two: images of the first that the second has too")
        ->required()
        ->expected(1, 2);
    app.add_option("--output", arguments->output, "CSV file to write; default: print it")
        ->option_text("FILE");
    app.add_option("--hash", options.hash,
                   "perceptual hash: median (as ImageHash's phash) or mean (as OpenCV's PHash); "
                   "default: median")
        ->check(CLI::IsMember({"median", "mean"}))
        ->option_text("median|mean");
    app.add_option("--max-distance", options.max_distance,
                   "most bits in which the hashes of a pair differ; default: 6")
        ->check(CLI::Range(0, 16))
        ->option_text("BITS");
    app.add_option("--max-error", options.max_error,
                   "largest mean squared difference of the standardised pixels; default: 0.1")
        ->check(CLI::Range(0.0, 2.0))
        ->option_text("X");
    app.add_option("--threads", arguments->threads, "default: one per core")
        ->check(CLI::Range(0, 1024))
        ->option_text("N");
  };
  verb.run = [arguments](VerbContext& context) { return run_duplicates(*arguments, context); };
  return verb;
}

}  // namespace baleen
