#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/config/document.h"
#include "experiments/extensions.h"

namespace baleen {

/// Loads a plug-in library and lets it add to `extensions`; it stays loaded. Before any of its code
/// runs, the version it was built for is read from its file. See experiments/plugin.h.
/// @throws Error kConfiguration when there is no such file, it is no plug-in, it was built for
/// another version (both are named), it can't be loaded, or it adds a name that is taken.
void load_plugin(const std::filesystem::path& file, Extensions& extensions);

/// The files that a recipe lists under `plugins`, relative to the working directory; whatever is
/// wrong with that key is left to the decoder.
std::vector<std::string> plugins_of(const config::Document& document);

}  // namespace baleen
