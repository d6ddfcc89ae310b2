#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <utility>

namespace baleen {

/// A file's bytes, mapped for reading. Move-only.
class MappedFile {
 public:
  MappedFile() = default;
  /// @throws Error kData when there is no such file, kStorage when the system refuses to map it.
  explicit MappedFile(const std::filesystem::path& file);
  MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~MappedFile();

  std::span<const uint8_t> bytes() const { return bytes_; }

  /// Hints to the system, without effect on what is read: pages are asked for in no order, so that
  /// reading one does not read its neighbours; and `part` of the bytes is asked for soon, so that
  /// it had better be read from disk now, in one go.
  void advise_random() const;
  void will_need(std::span<const uint8_t> part) const;

 private:
  std::span<const uint8_t> bytes_;
};

}  // namespace baleen
