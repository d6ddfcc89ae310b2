#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace baleen {

/// Checks all that a run directory says about itself: that configuration and plan can be read, that
/// every line of the journal has its checksum and belongs to this plan, that every file of a
/// finished chain or step has the digest it was finished with, that checkpoints of unfinished
/// chains are whole, and that oof.h5 can be read.
///
/// @return one line per problem, naming the file; empty: all is well
/// @throws Error kData when the directory holds no run, kStorage when the system refuses to read a
/// file.
std::vector<std::string> verify_run(const std::filesystem::path& directory);

}  // namespace baleen
