#pragma once

#include <filesystem>

namespace baleen {

/// What `verify` and `inspect` can be pointed at.
enum class Artefact {
  kDataset,      ///< directory that `baleen pack` wrote
  kRun,          ///< run directory
  kCheckpoints,  ///< directory of a chain's checkpoints
  kWeights,      ///< one safetensors file
  kPredictions,  ///< oof.h5
};

/// Tells by the names in a directory, or a file's ending, what it is.
/// @throws Error kData when there is no such path or it is none of these.
Artefact recognise(const std::filesystem::path& path);

}  // namespace baleen
