#pragma once

#include <filesystem>
#include <system_error>
#include <utility>

#include "core/base/atomic_file.h"
#include "data/hdf5/file.h"

namespace baleen {

/// Makes or replaces an HDF5 file so that readers see the old content or the whole new one:
/// `write(file)` fills a temporary file, which is closed, synced and renamed. It is removed when
/// anything throws.
template <class Write>
void write_hdf5_atomically(const std::filesystem::path& path, Write&& write) {
  const std::filesystem::path temporary = temporary_path_for(path);
  try {
    hdf5::File file = hdf5::File::create(temporary);
    std::forward<Write>(write)(file);
    file.close();
    publish_file(temporary, path);
  } catch (...) {
    std::error_code ignored;
    std::filesystem::remove(temporary, ignored);
    throw;
  }
}

}  // namespace baleen
