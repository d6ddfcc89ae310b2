#include "launch/artefact.h"

#include <algorithm>

#include "core/base/error.h"

namespace baleen {
namespace {

bool holds_safetensors(const std::filesystem::path& directory) {
  const std::filesystem::directory_iterator entries(directory);
  return std::any_of(begin(entries), end(entries),
                     [](const auto& entry) { return entry.path().extension() == ".safetensors"; });
}

}  // namespace

Artefact recognise(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) {
    throw Error(ErrorKind::kData, path.string() + " does not exist");
  }
  if (std::filesystem::is_directory(path)) {
    if (std::filesystem::exists(path / "manifest.json")) return Artefact::kDataset;
    if (std::filesystem::exists(path / "journal.jsonl")) return Artefact::kRun;
    if (holds_safetensors(path)) return Artefact::kCheckpoints;
  } else if (path.extension() == ".safetensors") {
    return Artefact::kWeights;
  } else if (path.extension() == ".h5") {
    return Artefact::kPredictions;
  }
  throw Error(ErrorKind::kData,
              path.string() +
                  " is no packed dataset, run directory, checkpoint, safetensors file or table of "
                  "predictions",
              "give a directory with a manifest.json or journal.jsonl, or a file that ends in "
              ".safetensors or .h5");
}

}  // namespace baleen
