#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <vector>

namespace baleen {

/// Memory for batches that goes round: a tensor's memory comes back once nothing uses it any more,
/// views and saved activations included. Fresh memory for every batch would cost a page fault per 4
/// KiB.
///
/// Tensors may outlive the pool's owner. Safe from any thread.
class BufferPool : public std::enable_shared_from_this<BufferPool> {
 public:
  /// @param max_idle buffers kept for reuse at most
  explicit BufferPool(size_t max_idle) : max_idle_(max_idle) {}

  /// An uninitialised tensor [N, C, S, S] in the memory format asked for, its first byte at a
  /// multiple of 64.
  at::Tensor images(int64_t count, int64_t channels, int64_t size_px, bool channels_last,
                    at::ScalarType type = at::kFloat);

  size_t num_allocated() const;  ///< buffers allocated so far, for tests

 private:
  struct Free {
    void operator()(std::byte* bytes) const { std::free(bytes); }
  };
  struct Buffer {
    std::unique_ptr<std::byte, Free> bytes;
    size_t size = 0;
  };
  Buffer acquire(size_t size);
  void give_back(Buffer buffer);

  mutable std::mutex mutex_;
  std::vector<Buffer> idle_;
  size_t max_idle_;
  size_t num_allocated_ = 0;
};

}  // namespace baleen
