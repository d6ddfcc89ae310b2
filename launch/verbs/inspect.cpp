#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/App.hpp>
#include <cstdio>

#include "core/base/format.h"
#include "core/weights/safetensors.h"
#include "data/inspect.h"
#include "data/oof.h"
#include "experiments/augment_sheet.h"
#include "experiments/journal.h"
#include "experiments/plan.h"
#include "experiments/run_directory.h"
#include "launch/artefact.h"
#include "launch/process.h"
#include "launch/verbs/recipe_arguments.h"
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
  RecipeArguments augment;  ///< its file is empty without --augment
  AugmentSheetOptions augmented;
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

/// A batch of a recipe as it enters the network.
void write_augmented(const InspectArguments& arguments, Extensions extensions) {
  if (!arguments.paths.empty() || arguments.sheet.empty()) {
    throw Error(ErrorKind::kUsage,
                arguments.sheet.empty() ? "--augment draws a picture and was not told where to"
                                        : "--augment shows a recipe's batch, not files",
                "baleen inspect --augment RECIPE -o sheet.png");
  }
  const Recipe recipe = arguments.augment.load(extensions);
  AugmentSheetOptions options = arguments.augmented;
  options.count = arguments.num_images;
  const int64_t count = write_augment_sheet(recipe, extensions, options, arguments.sheet);
  std::printf("%lld images in %s\n", static_cast<long long>(count), arguments.sheet.c_str());
}

void require_paths(const InspectArguments& arguments) {
  if (arguments.paths.empty()) {
    throw Error(ErrorKind::kUsage, "there is nothing to inspect",
                "name a directory or file, or show a recipe's augmentation with --augment RECIPE "
                "-o sheet.png");
  }
}

}  // namespace

Verb make_inspect_verb() {
  Verb verb;
  verb.name = "inspect";
  verb.summary = "say what is in a dataset, run directory, checkpoint or table of predictions";
  verb.examples =
      "  baleen inspect packed/planet --sheet planet.png     and show some of its images\n"
      "  baleen inspect runs/planet\n"
      "  baleen inspect --augment planet.yaml --stage 0 -o batch.png   what the network sees";
  auto arguments = std::make_shared<InspectArguments>();
  verb.declare_options = [arguments](CLI::App& app) {
    app.add_option("path", arguments->paths, "directories or files");
    app.add_option("-o,--sheet", arguments->sheet,
                   "write a PNG with images of the dataset and their labels")
        ->option_text("FILE");
    app.add_option("--images,--count", arguments->num_images,
                   "how many images the sheet has; default: 36")
        ->option_text("N");
    AugmentSheetOptions& augmented = arguments->augmented;
    CLI::Option* augment =
        app.add_option("--augment", arguments->augment.file,
                       "draw a batch of this recipe as it enters the network, beside the originals")
            ->option_text("RECIPE");
    app.add_option("--set", arguments->augment.assignments,
                   "with --augment: change one key of the recipe; may be repeated")
        ->option_text("KEY=VALUE")
        ->allow_extra_args(false)
        ->needs(augment);
    const auto number = [&](const char* name, int64_t& value, const char* help) {
      app.add_option(name, value, help)->option_text("N")->needs(augment);
    };
    number("--stage", augmented.stage, "with --augment: which stage, from 0; default: the last");
    number("--fold", augmented.fold, "with --augment: which fold is held out; default: 0");
    number("--backbone", augmented.backbone, "with --augment: whose stages and batch; default: 0");
    number("--epoch", augmented.epoch, "with --augment: which epoch, from 0; default: 0");
  };
  verb.run = [arguments](VerbContext& context) {
    if (launch_place().rank > 0) return 0;
    if (!arguments->augment.file.empty()) {
      write_augmented(*arguments, *context.extensions);
      return 0;
    }
    require_paths(*arguments);
    for (const std::string& path : arguments->paths)
      std::fputs(describe_path(path).c_str(), stdout);
    if (!arguments->sheet.empty()) write_sheet(*arguments);
    return 0;
  };
  return verb;
}

}  // namespace baleen
