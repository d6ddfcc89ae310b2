#include <CLI/App.hpp>
#include <cstdio>

#include "core/base/format.h"
#include "core/base/stopwatch.h"
#include "core/training/checkpoint.h"
#include "core/weights/safetensors.h"
#include "data/oof.h"
#include "data/verify.h"
#include "experiments/verify_run.h"
#include "launch/artefact.h"
#include "launch/process.h"
#include "launch/verbs/verbs.h"

namespace baleen {
namespace {

constexpr int kDamaged = 1;

/// Opening reads and checks everything there is to check: what it throws as damage is the one
/// problem.
template <class Open>
std::vector<std::string> problems_of_opening(Open&& open) {
  try {
    open();
    return {};
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kData) throw;
    return {error.message()};
  }
}

std::vector<std::string> problems_of(const std::filesystem::path& path) {
  switch (recognise(path)) {
    case Artefact::kDataset:
      return verify_dataset(path);
    case Artefact::kRun:
      return verify_run(path);
    case Artefact::kCheckpoints:
      return CheckpointStore::verify(path);
    case Artefact::kWeights:
      return problems_of_opening([&] { (void)SafetensorsFile(path); });
    case Artefact::kPredictions:
      return problems_of_opening([&] { (void)read_oof(path); });
  }
  return {};
}

int verify(const std::vector<std::string>& paths) {
  if (launch_place().rank > 0) return 0;
  bool damaged = false;
  for (const std::string& path : paths) {
    const Stopwatch watch;
    const std::vector<std::string> problems = problems_of(path);
    for (const std::string& problem : problems) std::printf("DAMAGED  %s\n", problem.c_str());
    std::printf(
        "%s  %s: %s, %s\n", problems.empty() ? "ok     " : "DAMAGED", path.c_str(),
        problems.empty() ? "no damage found" : fmt::format("{} problems", problems.size()).c_str(),
        format_duration(watch.elapsed_s()).c_str());
    damaged |= !problems.empty();
  }
  return damaged ? kDamaged : 0;
}

}  // namespace

Verb make_verify_verb() {
  Verb verb;
  verb.name = "verify";
  verb.summary = "check every byte of a dataset, run directory, checkpoint or table of predictions";
  verb.examples =
      "  baleen verify packed/planet runs/planet\n"
      "The exit code is 1 where damage was found.";
  auto paths = std::make_shared<std::vector<std::string>>();
  verb.declare_options = [paths](CLI::App& app) {
    app.add_option("path", *paths, "directories or files")->required();
  };
  verb.run = [paths](VerbContext&) { return verify(*paths); };
  return verb;
}

}  // namespace baleen
