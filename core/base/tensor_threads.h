#pragma once

#include <cstdint>
#include <functional>

namespace baleen {

/// Calls body(from, to) for pieces that make up [begin, end), of at least `grain` each, on the
/// threads that LibTorch's own operators run on. As at::parallel_for, which is a plain loop in code
/// that is compiled without OpenMP: here one file is compiled with it, and no other needs to be.
/// Within another such call everything is done on the calling thread. How the range is cut depends
/// on at::get_num_threads() alone. Throws what the body throws.
void split_over_threads(int64_t begin, int64_t end, int64_t grain,
                        const std::function<void(int64_t from, int64_t to)>& body);

}  // namespace baleen
