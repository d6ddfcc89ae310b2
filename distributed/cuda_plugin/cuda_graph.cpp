// Work recorded as a CUDA graph (core/training/recorded_work.h).
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>

#include "core/training/recorded_work.h"

namespace baleen {
namespace {

class CudaGraph final : public RecordedWork {
 public:
  void record(const std::function<void()>& work) override {
    // A graph is captured on a stream of its own; what went before must be done with its memory.
    c10::cuda::device_synchronize();
    const c10::cuda::CUDAStream stream = c10::cuda::getStreamFromPool();
    const c10::cuda::CUDAStreamGuard on_stream(stream);
    const c10::MempoolId_t pool = at::cuda::graph_pool_handle();
    // Loader threads may go on taking page-locked memory meanwhile: only this thread is watched.
    graph_.capture_begin(pool, cudaStreamCaptureModeThreadLocal);
    try {
      work();
      graph_.capture_end();
    } catch (...) {
      abandon(stream.device_index(), pool);
      throw;
    }
  }

  void play() override { graph_.replay(); }

 private:
  /// Leaves the stream and the allocator as if nothing had been recorded.
  void abandon(c10::DeviceIndex device, c10::MempoolId_t pool) {
    try {
      graph_.capture_end();
    } catch (...) {
      // It ends the stream's capture before it throws, but not the allocator's.
      c10::cuda::CUDACachingAllocator::endAllocateToPool(device, pool);
      c10::cuda::CUDACachingAllocator::releasePool(device, pool);
    }
    cudaGetLastError();  // what the capture has left there would be blamed on the next call
  }

  at::cuda::CUDAGraph graph_;
};

}  // namespace
}  // namespace baleen

extern "C" {

/// See MakeCudaGraph in distributed/accelerator.cpp.
__attribute__((visibility("default"))) void baleen_make_cuda_graph(
    std::unique_ptr<baleen::RecordedWork>& out) {
  out = std::make_unique<baleen::CudaGraph>();
}

}  // extern "C"
