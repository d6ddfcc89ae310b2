#pragma once

#include "core/nn/backbone.h"

namespace baleen {

/// Adds every network of this folder. Explicit calls, since static initialisers vanish from static
/// libraries.
void register_backbones(BackboneRegistry& registry);

}  // namespace baleen
