#include "data/hdf5/library.h"

#include <cerrno>
#include <cstring>
#include <string_view>

#include "core/base/error.h"

namespace baleen::hdf5 {
namespace {

std::recursive_mutex& process_lock() {
  // Never destroyed: objects with static lifetime may still close handles at exit.
  static auto* mutex = [] {
    // HDF5 1.10 crashes in its exit handler when a file it could not write (disk full) is still
    // half open. Files here are closed by their owners, so nothing is left for that handler to do.
    H5dont_atexit();
    return new std::recursive_mutex;
  }();
  return *mutex;
}

herr_t keep_innermost(unsigned index, const H5E_error2_t* entry, void* data) {
  if (index == 0 && entry->desc) *static_cast<std::string*>(data) = entry->desc;
  return 0;
}

}  // namespace

Locked::Locked() : lock_(process_lock()) { H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr); }

Object::~Object() {
  Locked lock;
  handle = Handle();
}

std::string last_message() {
  std::string message;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_innermost, &message);
  // Of "file write failed: filename = …, errno = 28, error message = 'No space left on device', buf
  // = 0x7f…" only the system's words are of use: the file is named by the caller, and addresses
  // differ from run to run.
  constexpr std::string_view kBefore = "error message = '";
  if (const size_t before = message.find(kBefore); before != std::string::npos) {
    const size_t start = before + kBefore.size();
    if (const size_t end = message.find('\'', start); end != std::string::npos)
      return message.substr(start, end - start);
  }
  while (!message.empty() && (message.back() == '\n' || message.back() == ' ')) message.pop_back();
  return message.empty() ? "no reason given by HDF5" : message;
}

void throw_read_error(const std::string& what) {
  const std::string reason = last_message();
  if (reason.find("Permission denied") != std::string::npos)
    throw Error(ErrorKind::kStorage, what + ": " + reason, "check the file's permissions");
  throw Error(ErrorKind::kData, what + ": " + reason,
              "the file is missing, cut short, damaged, or not what it should be; make it again");
}

void throw_write_error(const std::string& what) {
  const std::string reason = last_message();
  std::string hint = "check the folder's permissions and the free space";
  if (reason.find(std::strerror(ENOSPC)) != std::string::npos)
    hint = "the disk is full: free some space or choose another output folder";
  if (reason.find(std::strerror(EDQUOT)) != std::string::npos)
    hint = "the disk quota is used up: free some space or choose another output folder";
  throw Error(ErrorKind::kStorage, what + ": " + reason, hint);
}

hid_t native_type(ElementType type) {
  switch (type) {
    case ElementType::kU8:
      return H5T_NATIVE_UINT8;
    case ElementType::kU32:
      return H5T_NATIVE_UINT32;
    case ElementType::kU64:
      return H5T_NATIVE_UINT64;
    case ElementType::kI32:
      return H5T_NATIVE_INT32;
    case ElementType::kI64:
      return H5T_NATIVE_INT64;
    case ElementType::kF32:
      return H5T_NATIVE_FLOAT;
    case ElementType::kF64:
      return H5T_NATIVE_DOUBLE;
    case ElementType::kString:
    case ElementType::kOther:
      break;
  }
  throw Error(ErrorKind::kInternal, "an HDF5 element type that is neither integer nor real");
}

ElementType classify(hid_t type) {
  const H5T_class_t kind = H5Tget_class(type);
  const size_t size = H5Tget_size(type);
  if (kind == H5T_STRING) return ElementType::kString;
  if (kind == H5T_FLOAT)
    return size == 4 ? ElementType::kF32 : size == 8 ? ElementType::kF64 : ElementType::kOther;
  if (kind == H5T_INTEGER) {
    const bool is_signed = H5Tget_sign(type) == H5T_SGN_2;
    if (size == 1 && !is_signed) return ElementType::kU8;
    if (size == 4) return is_signed ? ElementType::kI32 : ElementType::kU32;
    if (size == 8) return is_signed ? ElementType::kI64 : ElementType::kU64;
  }
  return ElementType::kOther;
}

const char* name_of(ElementType type) {
  switch (type) {
    case ElementType::kU8:
      return "u8";
    case ElementType::kU32:
      return "u32";
    case ElementType::kU64:
      return "u64";
    case ElementType::kI32:
      return "i32";
    case ElementType::kI64:
      return "i64";
    case ElementType::kF32:
      return "f32";
    case ElementType::kF64:
      return "f64";
    case ElementType::kString:
      return "string";
    case ElementType::kOther:
      return "another type";
  }
  return "another type";
}

std::int64_t element_count(const Shape& shape) {
  std::int64_t count = 1;
  for (std::int64_t extent : shape) {
    if (extent < 0 || __builtin_mul_overflow(count, extent, &count))
      throw Error(ErrorKind::kData,
                  "a dataset's shape is impossible (negative or beyond 2^63 elements)");
  }
  return count;
}

}  // namespace baleen::hdf5
