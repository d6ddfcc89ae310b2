#include "tests/support/temporary_directory.h"

#include <cstdlib>
#include <stdexcept>

namespace baleen::testing {

TemporaryDirectory::TemporaryDirectory() {
  std::string pattern = (std::filesystem::temp_directory_path() / "baleen-test-XXXXXX").string();
  if (!mkdtemp(pattern.data())) throw std::runtime_error("mkdtemp failed for " + pattern);
  path_ = pattern;
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::filesystem::path real_data() {
  const char* folder = std::getenv("BALEEN_DATA");
  if (!folder || !std::filesystem::is_directory(folder)) return {};
  return folder;
}

}  // namespace baleen::testing
