// This folder alone includes CUDA and NCCL headers. It is built as libbaleen_cuda.so and opened at
// run time (accelerator.h).
#include <cuda_runtime_api.h>

#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

extern "C" {

/// Number of devices the driver shows, 0 or less when there is none.
__attribute__((visibility("default"))) int baleen_cuda_device_count() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

__attribute__((visibility("default"))) int baleen_nccl_version() {
  int version = 0;
  return ncclGetVersion(&version) == ncclSuccess ? version : 0;
}

/// See MakeNcclBackend in distributed/nccl_backend.h.
__attribute__((visibility("default"))) void baleen_make_nccl_backend(
    const c10::intrusive_ptr<c10d::Store>& store, int rank, int size,
    std::chrono::milliseconds timeout, c10::intrusive_ptr<c10d::Backend>& out) {
  auto options = c10d::ProcessGroupNCCL::Options::create(/*is_high_priority_stream=*/true);
  options->timeout = timeout;
  out = c10::make_intrusive<c10d::ProcessGroupNCCL>(store, rank, size, options);
}

}  // extern "C"
