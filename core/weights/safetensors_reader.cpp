#include <ATen/ATen.h>
#include <c10/core/ScalarType.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>
#include <utility>

#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "core/base/file_descriptor.h"
#include "core/weights/safetensors.h"
#include "core/weights/safetensors_dtype.h"

namespace baleen {
namespace {

using Json = nlohmann::json;
static_assert(std::endian::native == std::endian::little,
              "the format is little-endian and mapped as it is");

constexpr uint64_t kLengthBytes = 8;
/// The reference implementation's limit. Real headers are below 1 MB.
constexpr uint64_t kLongestHeader = 100'000'000;
constexpr size_t kMostDimensions = 64;  // LibTorch's own limit in many kernels

[[noreturn]] void refuse(const std::string& file, const std::string& what) {
  throw Error(ErrorKind::kData, fmt::format("{} is not a valid safetensors file: {}", file, what),
              "it is cut short, damaged or of another format; write or download it again");
}

/// The header as JSON, with keys that occur twice refused: parsers keep either of them, so that two
/// readers of one file could see different tensors.
Json parse_object(const std::string& file, std::string_view text) {
  std::vector<std::set<std::string>> keys;  // of the objects that are open
  const auto watch = [&](int, Json::parse_event_t event, Json& value) {
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key && !keys.back().insert(value.get<std::string>()).second) {
      refuse(file, fmt::format("the header holds '{}' twice", value.get<std::string>()));
    }
    return true;
  };
  Json header;
  try {
    header = Json::parse(text.begin(), text.end(), watch);
  } catch (const Json::exception& error) {
    refuse(file, fmt::format("the header is not JSON: {}", error.what()));
  }
  if (!header.is_object()) refuse(file, "the header is not a JSON object");
  return header;
}

uint64_t unsigned_of(const Json& value, const std::string& file, const std::string& what) {
  if (!value.is_number_unsigned()) refuse(file, what + " is not a whole number of at least 0");
  return value.get<uint64_t>();
}

at::ScalarType dtype_of(const Json& fields, const std::string& file, const std::string& name) {
  const auto dtype = fields.find("dtype");
  if (dtype == fields.end() || !dtype->is_string())
    refuse(file, fmt::format("'{}' has no dtype", name));
  const auto& text = dtype->get_ref<const std::string&>();
  for (const SafetensorsDtype& known : kSafetensorsDtypes) {
    if (known.name == text) return known.type;
  }
  refuse(file, fmt::format("'{}' has the unknown dtype '{}'", name, text));
}

SafetensorsFile::Entry entry_of(const std::string& file, const std::string& name,
                                const Json& fields) {
  if (!fields.is_object()) refuse(file, fmt::format("the entry of '{}' is not an object", name));
  for (const auto& [key, value] : fields.items()) {
    if (key != "dtype" && key != "shape" && key != "data_offsets") {
      refuse(file, fmt::format("'{}' has the unknown field '{}'", name, key));
    }
  }
  SafetensorsFile::Entry entry{.name = name, .dtype = dtype_of(fields, file, name), .shape = {}};

  const auto shape = fields.find("shape");
  if (shape == fields.end() || !shape->is_array())
    refuse(file, fmt::format("'{}' has no shape", name));
  constexpr auto kMost = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  if (shape->size() > kMostDimensions)
    refuse(file, fmt::format("'{}' has too many dimensions", name));
  uint64_t num_bytes = c10::elementSize(entry.dtype);
  uint64_t extent = num_bytes;  // the same product without zeros: strides must not overflow either
  for (const Json& item : *shape) {
    const uint64_t size = unsigned_of(item, file, fmt::format("a size in the shape of '{}'", name));
    if (size > 1 && extent > kMost / size)
      refuse(file, fmt::format("the shape of '{}' is too large", name));
    extent *= std::max<uint64_t>(size, 1);
    num_bytes *= size;
    entry.shape.push_back(static_cast<int64_t>(size));
  }

  const auto offsets = fields.find("data_offsets");
  if (offsets == fields.end() || !offsets->is_array() || offsets->size() != 2) {
    refuse(file, fmt::format("'{}' has no pair of data_offsets", name));
  }
  entry.begin = unsigned_of((*offsets)[0], file, fmt::format("the first byte of '{}'", name));
  entry.end = unsigned_of((*offsets)[1], file, fmt::format("the last byte of '{}'", name));
  if (entry.end < entry.begin || entry.end - entry.begin != num_bytes) {
    refuse(file, fmt::format("'{}' lies at bytes {} to {}, but its shape and dtype need {} bytes",
                             name, entry.begin, entry.end, num_bytes));
  }
  return entry;
}

}  // namespace

/// The file in memory, private to this process: writing to a page copies it.
struct SafetensorsFile::Mapping {
  Mapping(void* start, size_t length) : bytes(static_cast<char*>(start)), num_bytes(length) {}
  ~Mapping() { ::munmap(bytes, num_bytes); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  char* bytes;
  size_t num_bytes;
};

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : name_(path.string()) {
  const UniqueFileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) {
    if (errno == ENOENT) throw Error(ErrorKind::kData, fmt::format("there is no file {}", name_));
    throw storage_error("open", path, errno);
  }
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) throw storage_error("examine", path, errno);
  if (!S_ISREG(status.st_mode)) refuse(name_, "it is not a regular file");
  const auto num_bytes = static_cast<size_t>(status.st_size);
  if (num_bytes < kLengthBytes) refuse(name_, fmt::format("it has {} bytes", num_bytes));
  void* start = ::mmap(nullptr, num_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, file.get(), 0);
  if (start == MAP_FAILED) throw storage_error("map", path, errno);
  mapping_ = std::make_shared<const Mapping>(start, num_bytes);
  parse_header(path);
}

void SafetensorsFile::parse_header(const std::filesystem::path& path) {
  const std::string file = path.string();
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, mapping_->bytes, kLengthBytes);
  const uint64_t rest = mapping_->num_bytes - kLengthBytes;
  if (header_bytes > rest || header_bytes > kLongestHeader) {
    refuse(file,
           fmt::format("a header of {} bytes in a file of {}", header_bytes, mapping_->num_bytes));
  }
  const Json header =
      parse_object(file, {mapping_->bytes + kLengthBytes, static_cast<size_t>(header_bytes)});
  for (const auto& [name, fields] : header.items()) {
    if (name != "__metadata__") {
      entries_.push_back(entry_of(file, name, fields));
      continue;
    }
    if (!fields.is_object()) refuse(file, "__metadata__ is not an object");
    for (const auto& [key, value] : fields.items()) {
      if (!value.is_string()) refuse(file, fmt::format("__metadata__ '{}' is not a string", key));
      metadata_[key] = value.get<std::string>();
    }
  }

  std::stable_sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  uint64_t covered = 0;
  for (const Entry& entry : entries_) {
    if (entry.begin != covered) {
      refuse(file, fmt::format("'{}' begins at byte {}, the tensor before it ends at {}",
                               entry.name, entry.begin, covered));
    }
    covered = entry.end;
  }
  data_begin_ = kLengthBytes + header_bytes;
  if (covered != rest - header_bytes) {
    refuse(file, fmt::format("the tensors need {} bytes, the file has {} for them", covered,
                             rest - header_bytes));
  }
  for (size_t i = 0; i < entries_.size(); ++i) index_[entries_[i].name] = i;
}

at::Tensor SafetensorsFile::tensor_of(const Entry& entry) const {
  const auto options = at::TensorOptions().dtype(entry.dtype);
  if (entry.begin == entry.end) return at::empty(entry.shape, options);
  char* bytes = mapping_->bytes + data_begin_ + entry.begin;
  if (reinterpret_cast<std::uintptr_t>(bytes) % c10::elementSize(entry.dtype) != 0) {
    at::Tensor copy = at::empty(entry.shape, options);
    std::memcpy(copy.data_ptr(), bytes, static_cast<size_t>(entry.end - entry.begin));
    return copy;
  }
  return at::from_blob(
      bytes, entry.shape, [keep = mapping_](void*) {}, options);
}

at::Tensor SafetensorsFile::tensor(const std::string& name) const {
  const auto found = index_.find(name);
  if (found == index_.end()) {
    throw Error(ErrorKind::kData, fmt::format("{} holds no tensor '{}'", name_, name));
  }
  return tensor_of(entries_[found->second]);
}

NamedTensors SafetensorsFile::tensors() const {
  NamedTensors all;
  for (const Entry& entry : entries_) all.emplace_back(entry.name, tensor_of(entry));
  return all;
}

}  // namespace baleen
