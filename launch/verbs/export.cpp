#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/App.hpp>
#include <cstdio>

#include "core/base/format.h"
#include "experiments/export_weights.h"
#include "launch/process.h"
#include "launch/verbs/verbs.h"

namespace baleen {
namespace {

struct ExportArguments {
  std::string run;
  std::string chain;
  std::string output;
  bool all = false;
  bool force = false;
};

/// The chain that is meant, where its name was left out.
std::string only_chain(const std::vector<std::string>& chains, const std::string& run) {
  if (chains.size() == 1) return chains.front();
  if (chains.empty()) {
    throw Error(ErrorKind::kUsage, run + " has no finished chain yet", "go on with the run");
  }
  throw Error(ErrorKind::kUsage,
              fmt::format("{} has {} finished chains: choose with --chain, or take --all", run,
                          chains.size()),
              fmt::format("finished: {}", fmt::join(chains, ", ")));
}

int export_run(const ExportArguments& arguments) {
  if (launch_place().rank > 0) return 0;
  if (arguments.all && !arguments.chain.empty()) {
    throw Error(ErrorKind::kUsage, "--all and --chain exclude each other");
  }
  const RunDirectory run(arguments.run);
  std::vector<std::string> chains{arguments.chain};
  if (arguments.chain.empty()) {
    chains = exportable_chains(run);
    if (!arguments.all || chains.empty()) chains = {only_chain(chains, arguments.run)};
  }
  for (const std::string& chain : chains) {
    std::filesystem::path file = chain + ".safetensors";
    if (arguments.all) {
      file = std::filesystem::path(arguments.output) / file;
    } else if (!arguments.output.empty()) {
      file = arguments.output;
    }
    if (file.has_parent_path()) std::filesystem::create_directories(file.parent_path());
    const size_t count = export_weights(run, chain, file, arguments.force);
    std::printf("%s: %zu tensors, %s\n", file.c_str(), count,
                format_bytes(std::filesystem::file_size(file)).c_str());
  }
  return 0;
}

}  // namespace

Verb make_export_verb() {
  Verb verb;
  verb.name = "export";
  verb.summary = "write a finished chain's weights as safetensors, for Python and other recipes";
  verb.examples =
      "  baleen export runs/planet --chain resnet18-f0-s1\n"
      "  baleen export runs/planet --all --output weights\n"
      "  python: "
      "network.load_state_dict(safetensors.torch.load_file('resnet18-f0-s1.safetensors'))\n"
      "  recipe: backbones: [{name: resnet18, weights: resnet18-f0-s1.safetensors}]\n"
      "`baleen inspect FILE` shows labels, normalisation and tensors.";
  verb.files = {
      {"NAME.safetensors",
       "weights under the published names, with labels and normalisation as metadata"},
  };
  auto arguments = std::make_shared<ExportArguments>();
  verb.declare_options = [arguments](CLI::App& app) {
    app.add_option("run", arguments->run, "run directory")->required();
    app.add_option("--chain", arguments->chain,
                   "whose weights; may be left out where one chain is finished")
        ->option_text("NAME");
    app.add_flag("--all", arguments->all, "every finished chain; --output is a folder then");
    app.add_option("--output", arguments->output,
                   "file to write; default: NAME.safetensors in the current folder")
        ->option_text("PATH");
    app.add_flag("--force", arguments->force, "replace files that exist");
  };
  verb.run = [arguments](VerbContext&) { return export_run(*arguments); };
  return verb;
}

}  // namespace baleen
