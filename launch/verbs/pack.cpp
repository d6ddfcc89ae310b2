#include <CLI/App.hpp>
#include <algorithm>
#include <cstdio>

#include "core/base/console.h"
#include "core/base/format.h"
#include "core/base/logging.h"
#include "core/base/stopwatch.h"
#include "core/config/decode.h"
#include "core/config/encode.h"
#include "data/pack/pack.h"
#include "launch/pack_team.h"
#include "launch/process.h"
#include "launch/verbs/verbs.h"

namespace baleen {
namespace {

struct PackArguments {
  std::vector<std::string> files;
  std::vector<std::string> assignments;
  bool overwrite = false;
  bool append = false;
  bool print_config = false;
};

PackOptions load(const std::string& file, const std::vector<std::string>& assignments) {
  config::Document document = config::Document::load(file);
  for (const std::string& assignment : assignments) document.set(assignment);
  PackOptions options = config::decode<PackOptions>(document);
  resolve_paths(options, std::filesystem::path(file).parent_path());
  return options;
}

/// How far packing is: a live line on a terminal, elsewhere a line in the log now and then.
class ProgressLine {
 public:
  ~ProgressLine() { standard_error().set_live({}); }

  void show(const PackProgress& progress) {
    const bool live = standard_error().output().is_terminal();
    const double now = watch_.elapsed_s();
    if (now - shown_s_ < (live ? kLiveInterval_s : kPlainInterval_s)) return;
    shown_s_ = now;
    const std::string text = line(progress, now);
    if (live)
      standard_error().set_live({text});
    else
      log_info("{}", text);
  }

 private:
  static constexpr double kLiveInterval_s = 0.1;
  static constexpr double kPlainInterval_s = 30;

  static std::string line(const PackProgress& progress, double seconds) {
    const double images = static_cast<double>(progress.done - progress.resumed);
    const double per_second = images / std::max(seconds, 1e-3);
    const double left_s = static_cast<double>(progress.total - progress.done) / per_second;
    const double bytes_per_second = static_cast<double>(progress.bytes) / std::max(seconds, 1e-3);
    return fmt::format("packing {} of {} images, {}, {}/s, {} left{}", format_count(progress.done),
                       format_count(progress.total), format_rate(per_second, "img"),
                       format_bytes(static_cast<uint64_t>(bytes_per_second)),
                       format_duration(left_s),
                       progress.bad > 0 ? fmt::format(", {} bad", format_count(progress.bad)) : "");
  }

  Stopwatch watch_;
  double shown_s_ = 0;
};

void pack_one(PackOptions options, const PackArguments& arguments, int64_t threads,
              const VerbContext& context) {
  PackControl control;
  control.overwrite = arguments.overwrite;
  control.append = arguments.append;
  control.team = make_pack_team(context.mpi);
  if (options.threads == 0) options.threads = threads;
  PackSummary summary;
  {
    ProgressLine line;
    control.on_progress = [&](const PackProgress& progress) { line.show(progress); };
    control.stop_requested = [&] { return context.stop->load(); };
    summary = pack_dataset(options, control);
  }
  if (control.team.rank == 0) {
    std::fputs(summary.text().c_str(), stdout);
    std::fflush(stdout);
  }
}

int run_pack(const PackArguments& arguments, const VerbContext& context) {
  // All descriptions are read before the first is packed: a mistake in the last costs no minutes.
  std::vector<PackOptions> descriptions;
  for (const std::string& file : arguments.files)
    descriptions.push_back(load(file, arguments.assignments));
  if (arguments.print_config) {
    if (launch_place().rank > 0) return 0;
    for (const PackOptions& options : descriptions)
      std::fputs(config::print_yaml(config::encode(options, true)).c_str(), stdout);
    return 0;
  }
  const int64_t threads = threads_per_rank(context.mpi);
  watch_team(context.mpi);
  for (const PackOptions& options : descriptions) pack_one(options, arguments, threads, context);
  return 0;
}

}  // namespace

Verb make_pack_verb() {
  Verb verb;
  verb.name = "pack";
  verb.heeds_stop = true;
  verb.summary = "turn images and labels into checksummed HDF5; the same line resumes";
  verb.shares_work = true;
  verb.examples =
      "  baleen pack planet-data.yaml\n"
      "  baleen pack train.yaml test.yaml --set size_px=128\n"
      "  mpirun -n 4 baleen pack photos.yaml                    ranks share the shards\n"
      "  baleen pack photos.yaml --append                       add what has come since\n"
      "  baleen pack photos.yaml --set bad_images=quarantine    leave bad images out, and list "
      "them";
  verb.files = {
      {"OUTPUT/", "the dataset: shards in HDF5 and a manifest with the digest of each"},
      {"OUTPUT-test/", "with hold_out: the part that was set apart"},
      {"OUTPUT/quarantine.csv",
       "with bad_images: quarantine, the files that were left out, and why"},
  };
  auto arguments = std::make_shared<PackArguments>();
  verb.declare_options = [arguments](CLI::App& app) {
    app.add_option("description", arguments->files,
                   "YAML files, each of which describes a dataset; docs/configuration.md explains "
                   "their keys")
        ->required();
    app.add_option("--set", arguments->assignments,
                   "change one key in all of them; may be repeated")
        ->option_text("KEY=VALUE")
        ->allow_extra_args(false);
    CLI::Option* overwrite = app.add_flag("--overwrite", arguments->overwrite,
                                          "replace a dataset that was packed in another way");
    app.add_flag("--append", arguments->append,
                 "add what is new in the source to the dataset that is there, as further shards")
        ->excludes(overwrite);
    app.add_flag("--print-config", arguments->print_config,
                 "print every key with its value, and stop");
  };
  verb.run = [arguments](VerbContext& context) { return run_pack(*arguments, context); };
  return verb;
}

}  // namespace baleen
