#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/weights/safetensors.h"

namespace baleen {

/// What a weights file says of itself, as weights_metadata() in export_weights.h wrote it. Reads
/// from the file's own map: the file must outlive it. All getters throw Error kData, naming file
/// and key, where an entry is missing or of another kind.
class WeightsMetadata {
 public:
  explicit WeightsMetadata(const SafetensorsFile& file);

  bool contains(const std::string& key) const { return values_.contains(key); }
  const std::string& text(const std::string& key) const;
  /// False where it is missing, too.
  bool flag(const std::string& key) const { return contains(key) && text(key) == "true"; }
  int64_t number(const std::string& key) const;
  std::vector<double> numbers(const std::string& key) const;
  std::vector<std::string> texts(const std::string& key) const;

 private:
  template <class Value>
  Value parsed(const std::string& key, const char* kind) const;

  const std::string& name_;
  const std::map<std::string, std::string>& values_;
};

}  // namespace baleen
