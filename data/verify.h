#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace baleen {

struct VerifyOptions {
  int64_t threads = 1;
  bool decode = false;  ///< also decode every JPEG; slow, and packing has done it
};

/// Checks every byte of a packed dataset: the manifest, every shard file's digest, every dataset's
/// digest, every row's checksums of payload and index, and the index against the manifest.
///
/// @return one line per problem, naming file, dataset, and row and id where it can be told; empty:
/// all is well. A damaged dataset is a finding, not an error: the check goes on as far as it can.
/// Does not depend on the number of threads.
/// @throws Error kStorage when the system refuses to read a file.
std::vector<std::string> verify_dataset(const std::filesystem::path& directory,
                                        const VerifyOptions& options = {});

}  // namespace baleen
