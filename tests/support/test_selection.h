#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <string_view>

namespace baleen::testing {

/// Programs hold the tests of many files; `--file=foo_test.cpp` leaves those of that one. Call it
/// after InitGoogleTest, which takes the arguments that it knows. Returns whether there is anything
/// to run: false, with a line on stderr, for a file that this program does not hold or an argument
/// that is not known. Without `--file` all tests run.
inline bool select_tests(int argc, char** argv) {
  std::string_view file;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (!argument.starts_with("--file=")) {
      std::fprintf(stderr, "unknown argument '%s': --file=NAME_test.cpp, or GoogleTest's own\n",
                   argv[i]);
      return false;
    }
    file = argument.substr(7);
  }
  if (file.empty()) return true;

  std::string chosen;
  const auto& all = *::testing::UnitTest::GetInstance();
  for (int s = 0; s < all.total_test_suite_count(); ++s) {
    const auto& suite = *all.GetTestSuite(s);
    for (int t = 0; t < suite.total_test_count(); ++t) {
      const auto& test = *suite.GetTestInfo(t);
      const std::string_view path = test.file();
      if (path.substr(path.rfind('/') + 1) == file)
        chosen += std::string(suite.name()) + "." + test.name() + ":";
    }
  }
  if (chosen.empty()) {
    std::fprintf(stderr, "no test of this program is in %.*s\n", static_cast<int>(file.size()),
                 file.data());
    return false;
  }
  GTEST_FLAG_SET(filter, chosen);
  return true;
}

}  // namespace baleen::testing
