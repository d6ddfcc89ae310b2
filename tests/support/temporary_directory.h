#pragma once

#include <filesystem>
#include <string>

namespace baleen::testing {

/// A fresh directory below the system's temporary folder, removed with all its content at the end
/// of the test.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

/// The folder of real images ($BALEEN_DATA), or an empty path where it is missing: the test then
/// skips and says so.
std::filesystem::path real_data();

}  // namespace baleen::testing
