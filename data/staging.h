#pragma once

#include <filesystem>

namespace baleen {

/// Copies a packed dataset to a folder on a disk of this machine, and returns where it lies there:
/// `FOLDER/<digest of its content>`. Nothing is copied where it already is.
///
/// Any number of processes of a machine may call it at once: one copies, the others wait for it.
/// Every shard's digest is checked while it is copied, its space before. A copy that was
/// interrupted is made again; whole copies stay, for the next run, until somebody deletes them.
/// @throws Error kData when the source is damaged, kStorage when there is no room.
std::filesystem::path stage_dataset(const std::filesystem::path& dataset,
                                    const std::filesystem::path& folder);

}  // namespace baleen
