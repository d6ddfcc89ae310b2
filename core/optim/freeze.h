#pragma once

#include <string>
#include <vector>

#include "core/nn/backbone.h"

namespace baleen {

/// Which parts of a network are trained.
struct FreezeRules {
  std::vector<std::string> freeze;
  std::vector<std::string> unfreeze;  ///< exceptions from `freeze`
};

/// The parameters that the rules freeze, in the network's order.
///
/// A rule is the name of a parameter or module ("layer1", "layer1.0.conv1.weight"), a shell pattern
/// for one ("layer[12]", "*.bn?", "features.denseblock*"; `*` matches dots, too), or one of `head`,
/// `trunk` (all but the head) and `stem`, which mean the right thing in every network.
/// @throws Error kConfiguration naming a rule that matches nothing, with the nearest names, or when
/// nothing is left to train.
std::vector<std::string> frozen_parameters(const Backbone& network, const FreezeRules& rules);

/// Leaves the frozen parameters without gradients: they get no optimizer state, take no part in the
/// reduction, and layers before the first that is trained cost no backward pass. Their batch
/// normalisation goes on measuring, as in PyTorch: BatchNormMode::kFrozen stops that.
/// @returns number of frozen values
/// @throws Error as frozen_parameters()
int64_t freeze_parameters(Backbone& network, const FreezeRules& rules);

}  // namespace baleen
