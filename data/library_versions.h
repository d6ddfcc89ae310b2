#pragma once

#include <string>

namespace baleen {

// Versions of the libraries at run time, for `baleen doctor` and env.json; those of the headers
// where they differ.
std::string hdf5_library_version();
std::string opencv_library_version();

}  // namespace baleen
