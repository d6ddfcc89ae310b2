#include "core/base/tensor_threads.h"

#include <ATen/Parallel.h>

#ifndef _OPENMP
#error "without OpenMP at::parallel_for is a plain loop"
#endif

namespace baleen {

void split_over_threads(int64_t begin, int64_t end, int64_t grain,
                        const std::function<void(int64_t from, int64_t to)>& body) {
  at::parallel_for(begin, end, grain, body);
}

}  // namespace baleen
