#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace baleen {

/// Calls action(i) for i in [0, count) on up to `num_threads` threads, the calling one among them.
/// After the first exception no further index is begun; it is thrown once all threads are done.
template <class Action>
void parallel_for(size_t count, int64_t num_threads, const Action& action) {
  std::atomic<size_t> next = 0;
  std::mutex mutex;
  std::exception_ptr failure;
  const auto work = [&] {
    for (size_t i = next++; i < count; i = next++) {
      try {
        action(i);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!failure) failure = std::current_exception();
        next = count;
      }
    }
  };
  {
    std::vector<std::jthread> threads;
    for (int64_t t = 1; t < num_threads && static_cast<size_t>(t) < count; ++t)
      threads.emplace_back(work);
    work();
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace baleen
