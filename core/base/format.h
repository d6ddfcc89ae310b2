#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace baleen {

// Quantities as people read them, two significant units at most.

/// "0.42 s", "42 s", "3 min 07 s", "1 h 03 min", "2 d 04 h"; "?" when it isn't finite or negative.
std::string format_duration(double seconds);

/// "812 img/s", "8.1 img/s", "0.031 img/s".
std::string format_rate(double per_second, std::string_view unit);

/// "512 B", "1.5 KiB", "3.2 GiB" (powers of 1024).
std::string format_bytes(uint64_t num_bytes);

/// "1,234,567".
std::string format_count(int64_t count);

}  // namespace baleen
