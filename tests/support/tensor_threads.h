#pragma once

#include <ATen/Parallel.h>

namespace baleen {

/// LibTorch's operators run on this many threads while it lives.
class WithTensorThreads {
 public:
  explicit WithTensorThreads(int count) : before_(at::get_num_threads()) {
    at::set_num_threads(count);
  }
  ~WithTensorThreads() { at::set_num_threads(before_); }
  WithTensorThreads(const WithTensorThreads&) = delete;
  WithTensorThreads& operator=(const WithTensorThreads&) = delete;

 private:
  int before_;
};

}  // namespace baleen
