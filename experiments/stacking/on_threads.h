#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <cstdint>

#include "data/parallel_for.h"

namespace baleen {

/// Calls action(i) for i in [0, count) on as many threads as LibTorch uses, each of which computes
/// alone: without this the linear algebra library starts a team of threads for every small product
/// inside. Which thread takes which i has no effect on the bits.
/// @param one_by_one in order on this thread: actions that are collective
template <class Action>
void on_threads(int64_t count, const Action& action, bool one_by_one = false) {
  const int num_threads = at::get_num_threads();
  const auto restore = [&] { at::set_num_threads(num_threads); };
  try {
    parallel_for(static_cast<size_t>(count), one_by_one ? 1 : num_threads, [&](size_t i) {
      at::set_num_threads(1);  // of this thread
      const at::NoGradGuard no_grad;
      action(static_cast<int64_t>(i));
    });
  } catch (...) {
    restore();
    throw;
  }
  restore();
}

}  // namespace baleen
