#include "data/loader_buffers.h"

#include <ATen/ops/from_blob.h>

#include <array>
#include <new>

namespace baleen {
namespace {

constexpr size_t kAlignment =
    64;  // as LibTorch's own allocator: kernels may choose their path by alignment

}  // namespace

at::Tensor BufferPool::images(int64_t count, int64_t channels, int64_t size_px, bool channels_last,
                              at::ScalarType type) {
  const int64_t area = size_px * size_px;
  const std::array<int64_t, 4> sizes = {count, channels, size_px, size_px};
  const std::array<int64_t, 4> planar = {channels * area, area, size_px, 1};
  const std::array<int64_t, 4> interleaved = {channels * area, 1, size_px * channels, channels};
  auto buffer = std::make_shared<Buffer>(
      acquire(static_cast<size_t>(count * channels * area) * c10::elementSize(type)));
  void* data = buffer->bytes.get();
  return at::from_blob(
      data, sizes, channels_last ? interleaved : planar,
      [pool = shared_from_this(), buffer](void*) { pool->give_back(std::move(*buffer)); },
      at::TensorOptions(type));
}

size_t BufferPool::num_allocated() const {
  std::lock_guard lock(mutex_);
  return num_allocated_;
}

BufferPool::Buffer BufferPool::acquire(size_t size) {
  size = (size + kAlignment - 1) / kAlignment * kAlignment;
  std::lock_guard lock(mutex_);
  for (Buffer& candidate : idle_) {
    if (candidate.size != size) continue;
    Buffer buffer = std::move(candidate);
    candidate = std::move(idle_.back());
    idle_.pop_back();
    return buffer;
  }
  Buffer buffer;
  buffer.bytes.reset(
      static_cast<std::byte*>(std::aligned_alloc(kAlignment, std::max(size, kAlignment))));
  if (!buffer.bytes) throw std::bad_alloc();
  buffer.size = size;
  ++num_allocated_;
  return buffer;
}

void BufferPool::give_back(Buffer buffer) {
  std::lock_guard lock(mutex_);
  if (idle_.size() >= max_idle_ && !idle_.empty())
    idle_.erase(idle_.begin());  // the longest unused
  if (max_idle_ > 0) idle_.push_back(std::move(buffer));
}

}  // namespace baleen
