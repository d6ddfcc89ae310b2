#pragma once

#include <functional>
#include <string>

#include "core/config/problems.h"

namespace baleen {

/// Whether a text can name a file or folder of a run on any system: letters, digits, '.', '_', '-',
/// not beginning with a dot.
bool usable_as_file_name(const std::string& text);

/// Runs a check that throws Error, and reports what it says as a problem at `path`.
void report(config::Problems& problems, const std::string& path,
            const std::function<void()>& check);

}  // namespace baleen
