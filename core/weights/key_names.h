#pragma once

#include <string>
#include <vector>

#include "core/weights/named_tensors.h"

namespace baleen {

/// Tensors of a file under the names that a network has for them.
struct MappedNames {
  NamedTensors tensors;            ///< in the file's order; what the network lacks keeps its name
  std::vector<std::string> notes;  ///< what was renamed, one phrase each: "prefix 'module.' taken
                                   ///< off 320 names"
};

/// Finds a network's names behind the spellings that published files have:
///
/// - wrappers' prefixes, in any order and depth: `module.` (DataParallel), `_orig_mod.`
///   (torch.compile), `model.`, `backbone.`, `network.`, `encoder.`;
/// - DenseNet files from before 2018: `norm.1`, `conv.2`, which became `norm1`, `conv2`;
/// - other names of the last layer: `fc`, `classifier`, `last_linear` (Cadene), `head.fc`, `head`;
/// - `se.` for `se_module.`, and `gamma`, `beta`, `moving_mean`, `moving_variance` of batch
///   normalisation (TensorFlow).
///
/// A spelling counts only where it leads to a name that the network has, and a network's own name
/// always wins: no rule can take a tensor away from its place. torchvision and timm agree on the
/// names of ResNet, DenseNet and Inception-v3.
/// @param known     every parameter and buffer of the network
/// @param head_name module of the last layer
/// @throws Error kData naming two tensors of the file that mean the same one of the network.
MappedNames map_key_names(const NamedTensors& tensors, const std::vector<std::string>& known,
                          const std::string& head_name);

}  // namespace baleen
