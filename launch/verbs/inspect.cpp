#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/App.hpp>
#include <cstdio>

#include "core/base/format.h"
#include "core/weights/safetensors.h"
#include "data/inspect.h"
#include "data/oof.h"
#include "experiments/journal.h"
#include "experiments/plan.h"
#include "experiments/run_directory.h"
#include "launch/artefact.h"
#include "launch/process.h"
#include "launch/verbs/verbs.h"

namespace baleen {
namespace {

std::string inspect_weights(const std::filesystem::path& path) {
  const SafetensorsFile file(path);
  std::string text = fmt::format("{}: {} tensors, {}\n", path.string(), file.entries().size(),
                                 format_bytes(std::filesystem::file_size(path)));
  for (const auto& [key, value] : file.metadata()) text += fmt::format("  {} = {}\n", key, value);
  for (const auto& entry : file.entries()) {
    text += fmt::format("  {:<48} {:<9} [{}]\n", entry.name, c10::toString(entry.dtype),
                        fmt::join(entry.shape, ", "));
  }
  return text;
}

std::string inspect_checkpoints(const std::filesystem::path& directory) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    if (entry.path().extension() == ".safetensors") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::string text;
  for (const std::filesystem::path& file : files) {
    text += fmt::format("{}: {} tensors, {}\n", file.filename().string(),
                        SafetensorsFile(file).entries().size(),
                        format_bytes(std::filesystem::file_size(file)));
  }
  return text;
}

std::string inspect_predictions(const std::filesystem::path& path) {
  const OofData oof = read_oof(path);
  return fmt::format(
      "{}: out-of-fold predictions of {} models for {} samples and {} {}, {} folds; {} test "
      "samples\n  models: {}\n  {}: "
      "{}\n  configuration {}\n",
      path.string(), oof.models.size(), oof.ids.size(), oof.labels.size(),
      oof.target_kind == TargetKind::kSingleClass ? "classes" : "labels", oof.num_folds,
      oof.test_ids.size(), fmt::join(oof.models, ", "),
      oof.target_kind == TargetKind::kSingleClass ? "classes" : "labels",
      fmt::join(oof.labels, ", "), oof.config_hash);
}

std::string inspect_run(const std::filesystem::path& directory) {
  const RunDirectory run(directory);
  const JournalState journal = read_journal(run.journal());
  std::string text = fmt::format("{}: plan {}, {}\n", directory.string(), journal.plan_hash,
                                 journal.complete ? "complete" : "not complete");
  for (const JournalRecord& record : journal.records) {
    if (record.kind == JournalRecord::Kind::kRunStarted) {
      text += fmt::format("  started on {} ranks: {}\n", record.ranks.size(),
                          fmt::join(record.hosts, ", "));
    }
  }
  for (const auto& [name, record] : journal.finished_chains) {
    text += fmt::format("  finished  {:<28} {:>8} steps  {}", name, record.optimizer_steps,
                        format_duration(record.seconds));
    for (const auto& [metric, value] : record.metrics)
      text += fmt::format("  {} {:.4f}", metric, value);
    text += "\n";
  }
  for (const auto& [name, stages] : journal.finished_stages) {
    if (!journal.finished_chains.contains(name))
      text += fmt::format("  begun     {:<28} {} stages finished\n", name, stages);
  }
  for (const auto& [name, count] : journal.num_failures)
    text += fmt::format("  failed    {:<28} {} times\n", name, count);
  for (const auto& [name, record] : journal.finished_steps) {
    text += fmt::format("  finished  {:<28} {}\n", name, format_duration(record.seconds));
  }
  return text;
}

std::string describe_path(const std::filesystem::path& path) {
  switch (recognise(path)) {
    case Artefact::kDataset:
      return inspect_dataset(path);
    case Artefact::kRun:
      return inspect_run(path);
    case Artefact::kCheckpoints:
      return inspect_checkpoints(path);
    case Artefact::kWeights:
      return inspect_weights(path);
    case Artefact::kPredictions:
      return inspect_predictions(path);
  }
  return {};
}

struct InspectArguments {
  std::vector<std::string> paths;
  std::string sheet;
  int64_t num_images = 36;
};

/// The first images of a dataset as one picture.
void write_sheet(const InspectArguments& arguments) {
  if (arguments.paths.size() != 1 || recognise(arguments.paths[0]) != Artefact::kDataset) {
    throw Error(ErrorKind::kUsage, "--sheet shows the images of one packed dataset",
                "give one, as `baleen pack` wrote it");
  }
  const auto dataset = PackedDataset::open(arguments.paths[0]);
  std::vector<int64_t> rows;
  // Evenly spread over the dataset: the first rows are often all of one class.
  const int64_t count = std::min(arguments.num_images, dataset->size());
  for (int64_t i = 0; i < count; ++i) rows.push_back(i * dataset->size() / count);
  write_contact_sheet(*dataset, rows, arguments.sheet);
  std::printf("%lld images in %s\n", static_cast<long long>(count), arguments.sheet.c_str());
}

}  // namespace

Verb make_inspect_verb() {
  Verb verb;
  verb.name = "inspect";
  verb.summary = "say what is in a dataset, run directory, checkpoint or table of predictions";
  verb.examples =
      "  baleen inspect packed/planet --sheet planet.png     and show some of its images\n"
      "  baleen inspect runs/planet";
  auto arguments = std::make_shared<InspectArguments>();
  verb.declare_options = [arguments](CLI::App& app) {
    app.add_option("path", arguments->paths, "directories or files")->required();
    app.add_option("--sheet", arguments->sheet,
                   "write a PNG with images of the dataset and their labels")
        ->option_text("FILE");
    app.add_option("--images", arguments->num_images, "how many images the sheet has; default: 36")
        ->option_text("N");
  };
  verb.run = [arguments](VerbContext&) {
    if (launch_place().rank > 0) return 0;
    for (const std::string& path : arguments->paths)
      std::fputs(describe_path(path).c_str(), stdout);
    if (!arguments->sheet.empty()) write_sheet(*arguments);
    return 0;
  };
  return verb;
}

}  // namespace baleen
