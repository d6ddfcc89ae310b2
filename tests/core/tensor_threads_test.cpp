#include "core/base/tensor_threads.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "tests/support/tensor_threads.h"

namespace baleen {
namespace {

TEST(SplitOverThreads, RunsOnAsManyThreadsAsLibTorch) {
  const WithTensorThreads threads_now(3);
  std::mutex mutex;
  std::set<std::thread::id> threads;
  std::vector<int> visits(1000, 0);
  split_over_threads(0, 1000, 1, [&](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; ++i) ++visits[static_cast<size_t>(i)];
    const std::lock_guard lock(mutex);
    threads.insert(std::this_thread::get_id());
  });
  EXPECT_EQ(threads.size(), 3U);
  EXPECT_EQ(std::ranges::count(visits, 1), 1000);
}

TEST(SplitOverThreads, LeavesSmallRangesToOneThread) {
  const WithTensorThreads threads_now(3);
  int calls = 0;
  split_over_threads(5, 25, 20, [&](int64_t from, int64_t to) {
    EXPECT_EQ(from, 5);
    EXPECT_EQ(to, 25);
    ++calls;
  });
  EXPECT_EQ(calls, 1);
  split_over_threads(5, 5, 1, [&](int64_t, int64_t) { ++calls; });
  EXPECT_EQ(calls, 1);
}

TEST(SplitOverThreads, WithinItselfStaysOnItsThread) {
  const WithTensorThreads threads_now(2);
  split_over_threads(0, 2, 1, [](int64_t, int64_t) {
    const auto here = std::this_thread::get_id();
    split_over_threads(0, 100, 1,
                       [&](int64_t, int64_t) { EXPECT_EQ(std::this_thread::get_id(), here); });
  });
}

TEST(SplitOverThreads, ThrowsWhatAPieceThrows) {
  const WithTensorThreads threads_now(2);
  EXPECT_THROW(split_over_threads(0, 2, 1,
                                  [](int64_t from, int64_t) {
                                    if (from == 1) throw std::runtime_error("the second");
                                  }),
               std::runtime_error);
}

}  // namespace
}  // namespace baleen
