#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/nn/pair_scores.h"
#include "data/packed_dataset.h"
#include "distributed/communicator.h"
#include "experiments/extensions.h"

namespace baleen {

/// What a network makes of images, by sample id.
struct FeatureTable {
  std::string source;            ///< file or dataset, for messages
  std::vector<std::string> ids;  ///< N, unique
  at::Tensor features_ND;        ///< float32, finite

  int64_t size() const { return static_cast<int64_t>(ids.size()); }
  /// The rows of these ids, in their order. @throws Error kData naming those that are missing.
  FeatureTable select(std::span<const std::string> wanted) const;
};

/// Reads a table of features:
/// - `.h5`: `ids` and `predictions` as runs write them for held-out and test images;
/// - `.safetensors`: one matrix, with the ids as a JSON list in the metadata entry `ids`;
/// - `.csv`: a header, the id in the first column, numbers in the others.
/// @throws Error kData naming file and sample when it is missing, malformed, empty, has an id twice
/// or no number in a place; kNumeric for features that are not finite.
FeatureTable read_features(const std::filesystem::path& file);

/// Writes a table as `.h5`, which read_features() reads. @throws Error kStorage.
void write_features(const std::filesystem::path& file, const FeatureTable& table);

/// How images are turned into features.
struct EmbedOptions {
  int64_t chunk = 64;  ///< images at a time; part of the result's identity
  int64_t threads = 1;
  std::string device = "auto";
  std::function<bool()> stop;  ///< a signal arrived; may be empty
};

/// [collective] Features of all original images of a dataset by exported weights, computed in
/// parallel over the ranks: an embedding network's output in unit slices or a siamese network's as
/// it is, with the looks at each image that the run's predictions had; or what any other network's
/// head sees of the plain image. Every rank returns the whole table, the same on any number of
/// ranks.
/// @param weights as `baleen export` writes them, or a chain's weights.safetensors
/// @throws Error kData when the weights don't say what they are of, or the images have another
/// number of channels; kInterrupted.
FeatureTable embed_dataset(const std::filesystem::path& weights,
                           const std::shared_ptr<const PackedDataset>& dataset,
                           const std::string& name, const Extensions& extensions,
                           const EmbedOptions& options, Communicator& group);

/// The head of a siamese network, which compares its features; null for weights of another network.
/// @throws Error kData when it is not complete.
std::shared_ptr<const PairScores> read_pair_scores(const std::filesystem::path& weights);

}  // namespace baleen
