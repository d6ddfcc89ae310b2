#pragma once

// The only header that shows HDF5's own types; included by the .cpp files of this folder alone.

#include <hdf5.h>

#include <filesystem>
#include <mutex>
#include <string>
#include <utility>

#include "data/hdf5/file.h"

namespace baleen::hdf5 {

/// Holds the process-wide lock. HDF5's own printing of errors is off while it is held.
class Locked {
 public:
  Locked();
  Locked(const Locked&) = delete;
  Locked& operator=(const Locked&) = delete;

 private:
  std::unique_lock<std::recursive_mutex> lock_;
};

/// An HDF5 identifier that closes itself with the function given. Move-only; hold the lock when it
/// ends.
class Handle {
 public:
  using Close = herr_t (*)(hid_t);
  Handle() = default;
  Handle(hid_t id, Close close) : id_(id), close_(close) {}
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }
  ~Handle() {
    if (id_ >= 0) close_(id_);
  }
  explicit operator bool() const { return id_ >= 0; }
  hid_t get() const { return id_; }
  hid_t release() { return std::exchange(id_, -1); }

 private:
  hid_t id_ = -1;
  Close close_ = nullptr;
};

struct Object {
  ~Object();
  Handle handle;
  std::filesystem::path file;
  std::string path;  ///< inside the file, "/" for the root
  std::string description() const {
    return path == "/" ? file.string() : file.string() + ":" + path;
  }
};

/// HDF5's innermost message of the call that just failed, for instance "unable to open file (errno
/// = 2, …)".
std::string last_message();

/// Throws Error kData ("reading FILE:PATH: …") or kStorage with the innermost message and a hint
/// that fits.
[[noreturn]] void throw_read_error(const std::string& what);
[[noreturn]] void throw_write_error(const std::string& what);

/// Native in-memory type; not owned by the caller. kString and kOther have none.
hid_t native_type(ElementType type);
/// What a stored type is in our terms.
ElementType classify(hid_t type);

}  // namespace baleen::hdf5
