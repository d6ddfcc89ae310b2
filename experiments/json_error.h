#pragma once

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>

#include "core/base/error.h"

namespace baleen {

// Pieces that journal, messages and failure.json share. Included from .cpp files only.

/// {"kind", "message", "hint", "context"}.
nlohmann::json error_to_json(const Error& error);
/// The reverse; an unknown kind becomes kInternal. @throws nlohmann::json::exception for another
/// shape.
Error error_from_json(const nlohmann::json& j);

/// JSON has no NaN or infinity: they become null, and null becomes NaN.
inline nlohmann::json finite_or_null(double value) {
  return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json();
}
inline double number_or_nan(const nlohmann::json& j) {
  return j.is_null() ? std::numeric_limits<double>::quiet_NaN() : j.get<double>();
}

}  // namespace baleen
