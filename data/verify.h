#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace baleen {

/// Checks every byte of a packed dataset: the manifest, every shard file's digest, every dataset's
/// digest, every row's checksum, the index against the manifest, and that every JPEG decodes.
///
/// @return one line per problem, naming file, dataset, and row and id where it can be told; empty:
/// all is well. A damaged
///         dataset is a finding, not an error: the check goes on as far as it can.
/// @throws Error kStorage when the system refuses to read a file.
std::vector<std::string> verify_dataset(const std::filesystem::path& directory);

}  // namespace baleen
