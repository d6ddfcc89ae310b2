#pragma once

#include <string>
#include <unordered_set>

#include "data/pack/sources.h"

namespace baleen {

inline constexpr const char* kLikePrefix = "like ";

/// Whether a group's name was made by the packer: for images of one picture, near duplicates or
/// copies.
inline bool is_one_picture(const std::string& group) { return group.starts_with(kLikePrefix); }

/// Makes names for new groups, different from all that a list of samples has.
class GroupNames {
 public:
  explicit GroupNames(const SourceList& list) {
    for (const SourceSample& sample : list.samples)
      if (!sample.group.empty()) taken_.insert(sample.group);
  }

  /// A name for the group around a sample.
  std::string fresh(const std::string& id) {
    std::string name = kLikePrefix + id;
    while (!taken_.insert(name).second) name += "'";
    return name;
  }

 private:
  std::unordered_set<std::string> taken_;
};

}  // namespace baleen
