#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <charconv>
#include <cstdio>

#include "core/base/error.h"
#include "distributed/communicator.h"
#include "experiments/relabel/relabel_job.h"
#include "launch/one_rank.h"
#include "launch/verbs/verbs.h"

namespace baleen {
namespace {

struct RelabelArguments {
  RelabelJob job;
  std::vector<std::string> label_thresholds;
};

/// "water=0.8".
std::pair<std::string, double> label_threshold(const std::string& text) {
  const size_t equals = text.rfind('=');
  double value = 0;
  if (equals != std::string::npos) {
    const char* last = text.data() + text.size();
    const auto [end, error] = std::from_chars(text.data() + equals + 1, last, value);
    if (error == std::errc() && end == last && value >= 0 && value <= 1)
      return {text.substr(0, equals), value};
  }
  throw Error(ErrorKind::kUsage, fmt::format("'{}' is no threshold of a label", text),
              "write NAME=X with X between 0 and 1");
}

int relabel(RelabelArguments& arguments, VerbContext& context) {
  OneRank alone;
  const std::shared_ptr<Communicator> world = context.mpi ? context.mpi->world() : nullptr;
  Communicator& group = world ? *world : alone;
  RelabelJob job = arguments.job;
  for (const std::string& text : arguments.label_thresholds)
    job.trust.label_thresholds.insert(label_threshold(text));
  job.stop = [stop = context.stop] { return stop->load(); };
  std::fputs(run_relabel_job(job, *context.extensions, group).c_str(), stdout);
  return 0;
}

}  // namespace

Verb make_relabel_verb() {
  Verb verb;
  verb.name = "relabel";
  verb.summary = "let a run label further images, and doubt the labels that there are";
  verb.examples =
      "  mpirun -n 4 baleen relabel runs/planet --unlabelled packed/new --threshold 0.9 \\\n"
      "      --label-threshold water=0.8 --out round1\n"
      "  baleen relabel runs/planet                     only which labels look wrong\n"
      "Then look through the lists, and train with `extra: [{dataset: packed/new, labels: "
      "round1/review.csv}]`.\n"
      "docs/training-on-top.md has a whole round.";
  verb.shares_work = true;
  verb.heeds_stop = true;
  auto arguments = std::make_shared<RelabelArguments>();
  verb.declare_options = [arguments](CLI::App& app) {
    RelabelJob& job = arguments->job;
    app.add_option("run", job.run, "directory of a finished run")->required();
    app.add_option("--unlabelled", job.unlabelled, "packed images to be labelled")
        ->option_text("DIR");
    app.add_option("--threshold", job.trust.threshold,
                   "least certainty to be accepted: of the class, or of each label; default: 0.95")
        ->check(CLI::Range(0.0, 1.0))
        ->option_text("P");
    app.add_option("--label-threshold", arguments->label_thresholds,
                   "another one for a label; may be repeated")
        ->option_text("NAME=P");
    app.add_option("--corrections", job.corrections,
                   "labelled images to be doubted at most; default: 100")
        ->check(CLI::Range(0, 100000000))
        ->option_text("N");
    app.add_flag("--accept-corrections", job.trust.accept_corrections,
                 "mark those as accepted of which the models are certain enough; default: none, "
                 "for a person to decide");
    app.add_option("--out", job.output, "folder to write to; default: relabel")->option_text("DIR");
  };
  verb.run = [arguments](VerbContext& context) { return relabel(*arguments, context); };
  return verb;
}

}  // namespace baleen
