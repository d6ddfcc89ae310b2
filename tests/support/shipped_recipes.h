#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

#include "core/nn/registry.h"
#include "experiments/extensions.h"

namespace baleen::testing {

/// The networks and losses that come with Baleen.
inline Extensions built_in_extensions() {
  Extensions all;
  register_backbones(all.backbones);
  register_losses(all.losses);
  return all;
}

/// A recipe that comes with Baleen, by name.
inline std::filesystem::path shipped_recipe(const std::string& name) {
  const char* source = std::getenv("BALEEN_SOURCE");
  return std::filesystem::path(source ? source : ".") / "experiments/recipes" / (name + ".yaml");
}

}  // namespace baleen::testing
