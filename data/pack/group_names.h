#pragma once

#include <string>
#include <unordered_set>

#include "data/pack/sources.h"

namespace baleen {

/// Makes names for new groups, different from all that a list of samples has.
class GroupNames {
 public:
  explicit GroupNames(const SourceList& list) {
    for (const SourceSample& sample : list.samples)
      if (!sample.group.empty()) taken_.insert(sample.group);
  }

  /// A name for the group around a sample.
  std::string fresh(const std::string& id) {
    std::string name = "like " + id;
    while (!taken_.insert(name).second) name += "'";
    return name;
  }

 private:
  std::unordered_set<std::string> taken_;
};

}  // namespace baleen
