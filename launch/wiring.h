#pragma once

#include <vector>

#include "core/nn/backbone.h"
#include "launch/verb.h"

namespace baleen {

/// Every verb of the command line, in the order in which a user meets them.
std::vector<Verb> make_verbs();

/// Every network that a recipe can name.
BackboneRegistry make_backbone_registry();

}  // namespace baleen
