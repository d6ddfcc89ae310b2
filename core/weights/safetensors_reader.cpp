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
#include <numeric>
#include <tuple>
#include <utility>

#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "core/base/file_descriptor.h"
#include "core/weights/safetensors.h"
#include "core/weights/safetensors_header.h"

namespace baleen {
namespace {

static_assert(std::endian::native == std::endian::little,
              "the format is little-endian and mapped as it is");

constexpr uint64_t kLengthBytes = 8;
/// The reference implementation's limit. Real headers are below 1 MB.
constexpr uint64_t kLongestHeader = 100'000'000;

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
  if (!S_ISREG(status.st_mode)) refuse_safetensors(name_, "it is not a regular file");
  const auto num_bytes = static_cast<size_t>(status.st_size);
  if (num_bytes < kLengthBytes)
    refuse_safetensors(name_, fmt::format("it has {} bytes", num_bytes));
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
    refuse_safetensors(file, fmt::format("a header of {} bytes in a file of {}", header_bytes,
                                         mapping_->num_bytes));
  }
  data_begin_ = kLengthBytes + header_bytes;
  SafetensorsHeader header = parse_safetensors_header(
      file, {mapping_->bytes + kLengthBytes, static_cast<size_t>(header_bytes)},
      rest - header_bytes);
  entries_ = std::move(header.entries);
  metadata_ = std::move(header.metadata);

  std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  uint64_t covered = 0;
  for (const Entry& entry : entries_) {
    if (entry.begin != covered) {
      refuse_safetensors(file,
                         fmt::format("'{}' begins at byte {}, the tensor before it ends at {}",
                                     shown_name(entry.name), entry.begin, covered));
    }
    covered = entry.end;
  }
  if (covered != rest - header_bytes) {
    refuse_safetensors(file, fmt::format("the tensors need {} bytes, the file has {} for them",
                                         covered, rest - header_bytes));
  }
  by_name_.resize(entries_.size());
  std::iota(by_name_.begin(), by_name_.end(), uint32_t{0});
  std::sort(by_name_.begin(), by_name_.end(),
            [&](uint32_t a, uint32_t b) { return entries_[a].name < entries_[b].name; });
  // Readers keep either of two equal names, so that two of them could see different tensors.
  for (size_t i = 1; i < by_name_.size(); ++i) {
    if (entries_[by_name_[i - 1]].name == entries_[by_name_[i]].name) {
      refuse_safetensors(
          file, fmt::format("the header holds '{}' twice", shown_name(entries_[by_name_[i]].name)));
    }
  }
}

const SafetensorsFile::Entry* SafetensorsFile::find(const std::string& name) const {
  const auto found =
      std::lower_bound(by_name_.begin(), by_name_.end(), name,
                       [&](uint32_t i, const std::string& n) { return entries_[i].name < n; });
  return found != by_name_.end() && entries_[*found].name == name ? &entries_[*found] : nullptr;
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
  const Entry* entry = find(name);
  if (!entry) {
    throw Error(ErrorKind::kData, fmt::format("{} holds no tensor '{}'", name_, name));
  }
  return tensor_of(*entry);
}

NamedTensors SafetensorsFile::tensors() const {
  NamedTensors all;
  for (const Entry& entry : entries_) all.emplace_back(entry.name, tensor_of(entry));
  return all;
}

}  // namespace baleen
