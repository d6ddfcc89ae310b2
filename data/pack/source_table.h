#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "data/manifest.h"
#include "data/pack/sources.h"

namespace baleen {

/// One sample that was packed, or left out, and how its source looked: what appending asks for.
struct PackedSource {
  std::string id;
  std::string stamp;   ///< digest of id, labels, group, and the file's size and time
  std::string file;    ///< of a bad image
  std::string reason;  ///< why it was left out; empty: it is in the dataset
};

/// Stamps of these samples of the list, in their order. Looks at every file, but reads none.
std::vector<std::string> source_stamps(const SourceList& list, std::span<const size_t> samples);

/// The table as it is kept in the dataset's directory, and its name there: "sources-DIGEST.csv", so
/// that each state of a dataset has a table of its own.
std::string source_table_text(const std::vector<PackedSource>& table);
std::string source_table_name(const std::string& digest);

/// @throws Error kData when it is missing or damaged.
std::vector<PackedSource> read_source_table(const std::filesystem::path& directory,
                                            const Manifest& manifest);

/// The rows of quarantine.csv; empty where nothing was left out.
std::string quarantine_text(const std::vector<PackedSource>& table);

}  // namespace baleen
