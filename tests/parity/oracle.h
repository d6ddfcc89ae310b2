#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace baleen::testing {

/// Runs tests/parity/<script> on the files `<name>.in.safetensors` of a directory with the
/// interpreter that holds the oracles; it leaves `<name>.out.safetensors` beside each. Returns
/// false where there is no such interpreter: the test then skips.
inline bool run_oracle(const std::string& script, const std::filesystem::path& directory) {
  const char* python = std::getenv("BALEEN_PYTHON");
  const char* source = std::getenv("BALEEN_SOURCE");
  if (python == nullptr || source == nullptr) return false;
  const std::string command =
      fmt::format("'{}' '{}/tests/parity/{}' '{}'", python, source, script, directory.string());
  EXPECT_EQ(std::system(command.c_str()), 0) << command;
  return true;
}

}  // namespace baleen::testing

/// Ends the test as skipped, saying why, where the oracles are not installed.
#define BALEEN_RUN_ORACLE(script, directory)                                            \
  if (!::baleen::testing::run_oracle(script, directory)) {                              \
    GTEST_SKIP() << "BALEEN_PYTHON is not set: the oracles of " script " are not here"; \
  }                                                                                     \
  if (::testing::Test::HasFailure()) return
