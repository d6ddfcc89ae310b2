#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/losses/registry.h"
#include "core/nn/backbone.h"
#include "data/augment/registry.h"

namespace baleen {

/// A plug-in library that was loaded.
struct LoadedPlugin {
  std::filesystem::path file;
  std::string digest;  ///< of the file's bytes
};

/// What a recipe can name: the built-in networks and losses, and what a program or a plug-in adds.
/// A copyable value; docs/extending.md shows how to add to it.
struct Extensions {
  BackboneRegistry backbones;
  LossRegistry losses;
  AugmentationRegistry augmentations;
  std::vector<LoadedPlugin> plugins;  ///< in the order in which they were loaded
};

}  // namespace baleen
