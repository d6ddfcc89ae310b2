#pragma once

#include <string>

namespace baleen {

/// Whether a text can name a file or folder of a run on any system: letters, digits, '.', '_', '-',
/// not beginning with a dot.
bool usable_as_file_name(const std::string& text);

}  // namespace baleen
