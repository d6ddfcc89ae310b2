#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/weights/safetensors.h"

namespace baleen {

/// What the header of a safetensors file says.
struct SafetensorsHeader {
  std::vector<SafetensorsFile::Entry> entries;  ///< in the order of the text
  std::map<std::string, std::string> metadata;
};

/// Parses and checks a header.
///
/// Written for this one format, not for JSON at large: the grammar is three levels deep, so that no
/// nesting can exhaust the stack, and the text is checked whole before anything of it is kept, so
/// that a header which is refused costs no memory beyond the longest name it holds. Checked are the
/// syntax (UTF-8 included), that every tensor has exactly a known dtype, a shape and a pair of
/// offsets, that offsets and shape agree, and that no key of an object occurs twice; not yet
/// whether names occur twice or ranges cover the data.
/// @param file names the file, for messages
/// @param data_bytes what follows the header: no tensor may end beyond it
/// @throws Error kData naming file, tensor and field, or the byte of the header that is malformed.
SafetensorsHeader parse_safetensors_header(const std::string& file, std::string_view text,
                                           uint64_t data_bytes);

/// Throws the Error kData of a file that is no sound safetensors file.
[[noreturn]] void refuse_safetensors(const std::string& file, const std::string& what);

/// A name as messages show it: cut where it is very long, control characters replaced.
std::string shown_name(std::string_view name);

}  // namespace baleen
