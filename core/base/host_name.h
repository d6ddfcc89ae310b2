#pragma once

#include <string>

namespace baleen {

/// Short name of this machine, without its domain.
std::string host_name();

}  // namespace baleen
