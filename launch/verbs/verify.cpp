#include <CLI/App.hpp>
#include <CLI/Validators.hpp>
#include <algorithm>
#include <cstdio>
#include <thread>

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

std::vector<std::string> problems_of(const std::filesystem::path& path,
                                     const VerifyOptions& options) {
  switch (recognise(path)) {
    case Artefact::kDataset:
      return verify_dataset(path, options);
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

int verify(const std::vector<std::string>& paths, const VerifyOptions& options) {
  if (launch_place().rank > 0) return 0;
  bool damaged = false;
  for (const std::string& path : paths) {
    const Stopwatch watch;
    const std::vector<std::string> problems = problems_of(path, options);
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
  auto options = std::make_shared<VerifyOptions>();
  options->threads = std::max<int64_t>(1, std::thread::hardware_concurrency());
  verb.declare_options = [paths, options](CLI::App& app) {
    app.add_option("path", *paths, "directories or files")->required();
    app.add_option("--threads", options->threads, "that read a dataset at once; default: all cores")
        ->check(CLI::Range(1, 1024));
    app.add_flag("--decode", options->decode, "also decode every JPEG of a dataset");
  };
  verb.run = [paths, options](VerbContext&) { return verify(*paths, *options); };
  return verb;
}

}  // namespace baleen
