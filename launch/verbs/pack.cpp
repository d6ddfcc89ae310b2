#include <CLI/App.hpp>
#include <cstdio>

#include "core/base/console.h"
#include "core/base/format.h"
#include "core/base/logging.h"
#include "core/base/stopwatch.h"
#include "core/config/decode.h"
#include "core/config/encode.h"
#include "data/pack/pack.h"
#include "launch/process.h"
#include "launch/verbs/verbs.h"

namespace baleen {
namespace {

struct PackArguments {
  std::vector<std::string> files;
  std::vector<std::string> assignments;
  bool overwrite = false;
  bool print_config = false;
};

PackOptions load(const std::string& file, const std::vector<std::string>& assignments) {
  config::Document document = config::Document::load(file);
  for (const std::string& assignment : assignments) document.set(assignment);
  PackOptions options = config::decode<PackOptions>(document);
  resolve_paths(options, std::filesystem::path(file).parent_path());
  return options;
}

/// A line on the terminal that counts up; nothing where output goes to a file.
void show_progress(int64_t done, int64_t total, double seconds) {
  if (!standard_error().output().is_terminal()) return;
  standard_error().set_live(
      {fmt::format("packing {} of {} images, {}", format_count(done), format_count(total),
                   format_rate(static_cast<double>(done) / std::max(seconds, 1e-3), "img/s"))});
}

void pack_one(const PackOptions& options, bool overwrite, const std::atomic<bool>& stop) {
  const Stopwatch watch;
  PackControl control;
  control.overwrite = overwrite;
  control.on_progress = [&](int64_t done, int64_t total) {
    show_progress(done, total, watch.elapsed_s());
  };
  control.stop_requested = [&] { return stop.load(); };
  const PackSummary summary = pack_dataset(options, control);
  standard_error().set_live({});
  std::fputs(summary.text().c_str(), stdout);
}

int run_pack(const PackArguments& arguments, const VerbContext& context) {
  // Packing uses all cores of one process; further ranks have nothing to do.
  if (launch_place().rank > 0) return 0;
  // All descriptions are read before the first is packed: a mistake in the last costs no minutes.
  std::vector<PackOptions> descriptions;
  for (const std::string& file : arguments.files)
    descriptions.push_back(load(file, arguments.assignments));
  for (const PackOptions& options : descriptions) {
    if (arguments.print_config) {
      std::fputs(config::print_yaml(config::encode(options, true)).c_str(), stdout);
    } else {
      pack_one(options, arguments.overwrite, *context.stop);
    }
  }
  return 0;
}

}  // namespace

Verb make_pack_verb() {
  Verb verb;
  verb.name = "pack";
  verb.summary = "turn images and labels into checksummed HDF5";
  verb.examples =
      "  baleen pack planet-data.yaml\n"
      "  baleen pack train.yaml test.yaml --set size_px=128\n"
      "  baleen pack photos.yaml --set bad_images=quarantine    leave bad images out, and list "
      "them";
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
    app.add_flag("--overwrite", arguments->overwrite,
                 "replace a dataset that was packed in another way");
    app.add_flag("--print-config", arguments->print_config,
                 "print every key with its value, and stop");
  };
  verb.run = [arguments](VerbContext& context) { return run_pack(*arguments, context); };
  return verb;
}

}  // namespace baleen
