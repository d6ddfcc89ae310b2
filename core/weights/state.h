#pragma once

#include <torch/nn/module.h>

#include <string>
#include <vector>

#include "core/weights/safetensors.h"

namespace baleen {

/// Copies of a network's parameters and buffers, on the CPU, contiguous, under their names;
/// parameters first, each in the network's order.
NamedTensors state_of(const torch::nn::Module& network);

struct LoadOptions {
  std::string head_name;  ///< a module whose tensors may differ in shape or be missing: they stay
                          ///< fresh; empty: none
  std::vector<std::string> optional_modules;  ///< the same for these
  bool counters_may_be_missing = false;       ///< `num_batches_tracked`, which old files lack
  bool allow_missing = false;     ///< tensors of the network that the file lacks keep their values
  bool allow_unexpected = false;  ///< tensors of the file that the network lacks are ignored
};

/// What became of the names.
struct LoadReport {
  std::vector<std::string> loaded;
  std::vector<std::string> missing;     ///< in the network, not in the file
  std::vector<std::string> unexpected;  ///< in the file, not in the network
  std::vector<std::string> mismatched;  ///< of another shape, with both shapes: "fc.weight:
                                        ///< 1000x512 in the file, 17x512 here"; or of another kind
  int64_t num_missing_counters = 0;  ///< `num_batches_tracked` that the file lacks: not in missing
  bool head_is_fresh = false;        ///< part of the head was not loaded
  std::vector<std::string> fresh_modules;  ///< optional modules of which part was not loaded
  std::vector<std::string> notes;          ///< what was renamed or adapted on the way
  /// One line for the log.
  std::string summary() const;
};

/// Copies tensors into the network by name, converting dtype and device and keeping the network's
/// memory layout. Nothing is changed when it throws.
/// @param source names where the tensors come from, for messages
/// @throws Error kData listing what is missing, unexpected or of another shape and not allowed by
/// `options`, with the nearest names of the network.
LoadReport load_state(torch::nn::Module& network, const NamedTensors& tensors,
                      const std::string& source, const LoadOptions& options = {});

}  // namespace baleen
