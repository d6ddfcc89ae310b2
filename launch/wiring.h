#pragma once

#include <vector>

#include "experiments/extensions.h"
#include "launch/verb.h"

namespace baleen {

/// Every verb of the command line, in the order in which a user meets them.
std::vector<Verb> make_verbs();

/// Every built-in network and loss that a recipe can name.
Extensions make_extensions();

}  // namespace baleen
