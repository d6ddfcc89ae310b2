#include "data/augment/registry.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/base/error.h"
#include "core/base/nearest.h"

namespace baleen {

void AugmentationRegistry::add(AugmentationInfo info, Factory factory) {
  for (const AugmentationInfo& other : infos_) {
    if (other.name == info.name) {
      throw Error(ErrorKind::kInternal,
                  fmt::format("augmentation '{}' is registered twice", info.name));
    }
  }
  infos_.push_back(std::move(info));
  factories_.push_back(std::move(factory));
}

Augmentation AugmentationRegistry::create(const CustomAugmentOptions& options) const {
  const auto found = std::find_if(infos_.begin(), infos_.end(), [&](const AugmentationInfo& info) {
    return info.name == options.name;
  });
  if (found == infos_.end()) {
    std::vector<std::string> known;
    for (const AugmentationInfo& info : infos_) known.push_back(info.name);
    throw Error(ErrorKind::kConfiguration,
                fmt::format("there is no augmentation '{}': {}", options.name,
                            known.empty() ? "no extension adds any; built-in ones have keys of "
                                            "their own, such as augment.d4"
                                          : suggestion(options.name, known)));
  }
  const Parameters complete = complete_parameters(fmt::format("the augmentation '{}'", found->name),
                                                  found->parameters, options.parameters);
  return factories_[static_cast<size_t>(found - infos_.begin())](complete);
}

std::vector<AugmentationStep> AugmentationRegistry::create_all(
    const std::vector<CustomAugmentOptions>& options) const {
  std::vector<AugmentationStep> steps;
  for (const CustomAugmentOptions& each : options) {
    const auto same = [&](const AugmentationStep& step) { return step.name == each.name; };
    const int64_t turn = std::count_if(steps.begin(), steps.end(), same);
    steps.push_back({each.name, turn, create(each)});
  }
  return steps;
}

}  // namespace baleen
