#include "experiments/weights_metadata.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/base/error.h"

namespace baleen {

WeightsMetadata::WeightsMetadata(const SafetensorsFile& file)
    : name_(file.name()), values_(file.metadata()) {}

const std::string& WeightsMetadata::text(const std::string& key) const {
  const auto found = values_.find(key);
  if (found != values_.end()) return found->second;
  throw Error(ErrorKind::kData, fmt::format("{} does not say its '{}'", name_, key),
              "give weights that `baleen export` wrote, or a chain's weights.safetensors");
}

template <class Value>
Value WeightsMetadata::parsed(const std::string& key, const char* kind) const {
  const auto value = nlohmann::json::parse(text(key), nullptr, /*allow_exceptions=*/false);
  try {
    return value.get<Value>();
  } catch (const nlohmann::json::exception&) {
    throw Error(ErrorKind::kData,
                fmt::format("{}: '{}' is '{}', which is no {}", name_, key, text(key), kind),
                "restore the file from a backup, or write it again");
  }
}

int64_t WeightsMetadata::number(const std::string& key) const {
  return parsed<int64_t>(key, "number");
}
std::vector<double> WeightsMetadata::numbers(const std::string& key) const {
  return parsed<std::vector<double>>(key, "list of numbers");
}
std::vector<std::string> WeightsMetadata::texts(const std::string& key) const {
  return parsed<std::vector<std::string>>(key, "list of texts");
}

}  // namespace baleen
