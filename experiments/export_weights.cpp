#include "experiments/export_weights.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "core/base/atomic_file.h"
#include "core/base/digest.h"
#include "core/base/error.h"
#include "core/base/nearest.h"
#include "core/config/encode.h"
#include "core/weights/safetensors.h"
#include "data/augment/d4.h"
#include "experiments/classification_chain.h"
#include "experiments/journal.h"

namespace baleen {
namespace {

JournalState journal_of(const RunDirectory& run) {
  if (!std::filesystem::exists(run.journal())) {
    throw Error(ErrorKind::kData, fmt::format("{} holds no run", run.root().string()),
                "give the directory that `baleen run` printed, runs/<name> as a rule");
  }
  return read_journal(run.journal());
}

/// The file's place in the journal's digests.
std::string digest_name(const RunDirectory& run, const std::filesystem::path& file) {
  return file.lexically_relative(run.root()).string();
}

/// How the packer took the haze from the images that a network sees; empty: it did not.
std::string dehazing_of(const PackedDataset& dataset, const BackboneSection& section) {
  const auto options = nlohmann::json::parse(dataset.pack_options());
  const auto dehaze = options.find("dehaze");
  if (dehaze == options.end() || !dehaze->is_object()) return {};
  const char* stored = section.variant.empty() ? "replace" : "variant";
  if (dehaze->value("store", "none") != stored) return {};
  nlohmann::json kept;
  // Lengths of the haze removal are pixels of the stored size.
  for (const char* key : {"fit", "size_px", "enlarge", "shrink", "dehaze"})
    if (options.contains(key)) kept[key] = options[key];
  return kept.dump();
}

}  // namespace

std::map<std::string, std::string> weights_metadata(const Recipe& recipe, const ChainSpec& chain,
                                                    const Task& task, const PackedDataset& dataset,
                                                    const ImageFeedOptions& image) {
  using nlohmann::json;
  const auto dump = [](const json& value) {
    return value.dump(-1, ' ', false, json::error_handler_t::replace);
  };
  const BackboneSection& section = recipe.backbones.at(static_cast<size_t>(chain.backbone));
  std::vector<std::string> labels = dataset.label_names();
  if (task.num_network_outputs() > task.num_outputs())
    for (const std::string& label : dataset.label_names()) labels.push_back(label + " (mirrored)");
  const PredictionSection& prediction = recipe.prediction;
  std::vector<std::string> views;
  for (const D4 view : d4_views(prediction.tta)) views.emplace_back(name_of(view));
  std::vector<int64_t> sizes_px = prediction.tta_sizes_px;
  if (sizes_px.empty()) sizes_px.push_back(image.size_px);
  std::map<std::string, std::string> random;
  if (prediction.tta_random_passes > 0)
    random = {{"tta_random_passes", std::to_string(prediction.tta_random_passes)},
              {"tta_augment", config::to_json(prediction.tta_augment)}};
  std::map<std::string, std::string> metadata = {
      {"format", "pt"},
      {"backbone", section.name},
      {"head", section.head},
      {"auxiliary", section.auxiliary ? "true" : "false"},
      {"variant", section.variant},
      {"coordinates", section.coordinates ? "true" : "false"},
      {"coordinate_radius", section.coordinate_radius ? "true" : "false"},
      {"num_outputs", std::to_string(task.num_network_outputs())},
      {"slices", std::to_string(recipe.metric ? recipe.metric->num_slices() : 1)},
      {"in_channels", std::to_string(dataset.channels())},
      {"targets", task.name()},
      {"labels", dump(labels)},
      {"size_px", std::to_string(image.size_px)},
      {"fit", image.fit},
      {"tta", dump(views)},
      {"tta_sizes_px", dump(sizes_px)},
      {"tta_fusion", prediction.tta_fusion},
      {"mean", dump(image.normalise.mean)},
      {"std", dump(image.normalise.std)},
      {"chain", chain.name},
      {"fold", std::to_string(chain.fold)},
      {"seed", std::to_string(chain.seed)}};
  if (std::string dehazing = dehazing_of(dataset, section); !dehazing.empty())
    metadata["dehazing"] = std::move(dehazing);
  metadata.merge(random);
  return metadata;
}

std::vector<std::string> exportable_chains(const RunDirectory& run) {
  return journal_of(run).finished_names();
}

size_t export_weights(const RunDirectory& run, const std::string& chain,
                      const std::filesystem::path& output, bool replace) {
  const JournalState journal = journal_of(run);
  const auto finished = journal.finished_chains.find(chain);
  if (finished == journal.finished_chains.end()) {
    const std::vector<std::string> known = journal.finished_names();
    throw Error(ErrorKind::kUsage,
                fmt::format("{} has no finished chain '{}'", run.root().string(), chain),
                known.empty() ? "no chain is finished yet: go on with the run"
                              : fmt::format("finished: {}", fmt::join(known, ", ")));
  }
  if (!replace && std::filesystem::exists(output)) {
    throw Error(ErrorKind::kUsage, fmt::format("{} exists already", output.string()),
                "give another name with --output, or --force to replace it");
  }
  const std::filesystem::path file = ChainFiles(run.chain(chain)).weights();
  const auto expected = finished->second.digests.find(digest_name(run, file));
  if (expected != finished->second.digests.end() &&
      digest_hex(read_file(file)) != expected->second) {
    throw Error(ErrorKind::kData,
                fmt::format("{} is not the file that the chain was finished with", file.string()),
                "`baleen verify` names all that is damaged in a run");
  }
  const SafetensorsFile weights(file);
  std::map<std::string, std::string> metadata = weights.metadata();
  metadata["plan"] = journal.plan_hash;
  write_safetensors(output, weights.tensors(), metadata);
  return weights.entries().size();
}

}  // namespace baleen
