#pragma once

#include <utility>

namespace baleen {

/// Sole owner of a handle of a C interface: closes it once, moves, never copies.
///
/// `Traits` gives `using Value`, `static Value invalid()` and `static void close(Value) noexcept`.
/// For handles whose release is local only; what is released collectively has its own close() and
/// never a closing destructor.
template <class Traits>
class UniqueHandle {
 public:
  using Value = typename Traits::Value;

  UniqueHandle() noexcept : value_(Traits::invalid()) {}
  explicit UniqueHandle(Value value) noexcept : value_(value) {}
  ~UniqueHandle() { reset(); }
  UniqueHandle(UniqueHandle&& other) noexcept : value_(other.release()) {}
  UniqueHandle& operator=(UniqueHandle&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  UniqueHandle(const UniqueHandle&) = delete;
  UniqueHandle& operator=(const UniqueHandle&) = delete;

  Value get() const noexcept { return value_; }
  explicit operator bool() const noexcept { return value_ != Traits::invalid(); }

  /// Gives the handle away without closing it.
  [[nodiscard]] Value release() noexcept { return std::exchange(value_, Traits::invalid()); }

  /// Closes what is held and holds `value` instead.
  void reset(Value value = Traits::invalid()) noexcept {
    const Value old = std::exchange(value_, value);
    if (old != Traits::invalid()) Traits::close(old);
  }

 private:
  Value value_;
};

}  // namespace baleen
