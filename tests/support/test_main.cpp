#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "tests/support/test_selection.h"

int main(int argc, char** argv) {
  at::set_num_threads(1);
  ::testing::InitGoogleTest(&argc, argv);
  if (!baleen::testing::select_tests(argc, argv)) return 2;
  return RUN_ALL_TESTS();
}
