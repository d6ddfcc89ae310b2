#include "experiments/json_error.h"

namespace baleen {
namespace {

constexpr ErrorKind kAllKinds[] = {
    ErrorKind::kUsage,         ErrorKind::kConfiguration, ErrorKind::kData,
    ErrorKind::kStorage,       ErrorKind::kInterrupted,   ErrorKind::kHang,
    ErrorKind::kCommunication, ErrorKind::kNumeric,       ErrorKind::kInternal,
};

ErrorKind kind_named(const std::string& name) {
  for (ErrorKind kind : kAllKinds) {
    if (name == name_of(kind)) return kind;
  }
  return ErrorKind::kInternal;
}

}  // namespace

nlohmann::json error_to_json(const Error& error) {
  return {{"kind", name_of(error.kind())},
          {"message", error.message()},
          {"hint", error.hint()},
          {"context", error.context()}};
}

Error error_from_json(const nlohmann::json& j) {
  Error error(kind_named(j.at("kind").get<std::string>()), j.at("message").get<std::string>(),
              j.at("hint").get<std::string>());
  for (const auto& line : j.at("context")) error.add_context(line.get<std::string>());
  return error;
}

}  // namespace baleen
