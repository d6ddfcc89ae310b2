#include "core/weights/safetensors_header.h"

#include <c10/core/ScalarType.h>
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "core/base/error.h"
#include "core/weights/header_text.h"
#include "core/weights/safetensors_dtype.h"

namespace baleen {
namespace {

constexpr size_t kMostDimensions = 64;  // LibTorch's own limit in many kernels
constexpr size_t kLongestName = 65536;  // of a tensor or a field; real ones are below 200 bytes
constexpr uint64_t kMost = std::numeric_limits<int64_t>::max();

using Entry = SafetensorsFile::Entry;

/// Walks the header once. With a sink it keeps what it reads, without one it only checks.
class HeaderParser {
 public:
  HeaderParser(const std::string& file, std::string_view text, uint64_t data_bytes,
               SafetensorsHeader* sink)
      : file_(file), text_(file, text), data_bytes_(data_bytes), sink_(sink) {}

  /// @returns the number of tensors
  size_t parse() {
    if (!text_.next_is('{')) refuse("the header is not a JSON object");
    bool has_metadata = false;
    std::string name;
    text_.object([&] {
      text_.string(&name, kLongestName);
      text_.expect(':');
      if (name != "__metadata__") {
        entry(name);
        ++num_entries_;
        return;
      }
      if (has_metadata) refuse("the header holds '__metadata__' twice");
      has_metadata = true;
      metadata();
    });
    text_.end();
    return num_entries_;
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const { refuse_safetensors(file_, what); }

  void metadata() {
    if (!text_.next_is('{')) refuse("__metadata__ is not an object");
    std::string key;
    text_.object([&] {
      text_.string(&key, kLongestName);
      text_.expect(':');
      if (!text_.next_is('"'))
        refuse(fmt::format("__metadata__ '{}' is not a string", shown_name(key)));
      if (!sink_) {
        text_.string(nullptr);
        return;
      }
      std::string value;
      text_.string(&value);
      if (!sink_->metadata.emplace(key, std::move(value)).second) {
        refuse(fmt::format("the header holds '{}' twice", shown_name(key)));
      }
    });
  }

  /// {"dtype": ..., "shape": [...], "data_offsets": [begin, end]}, in any order.
  void entry(const std::string& name) {
    const std::string shown = shown_name(name);
    if (!text_.next_is('{')) refuse(fmt::format("the entry of '{}' is not an object", shown));
    Entry entry;
    bool has_dtype = false, has_shape = false, has_offsets = false;
    const auto once = [&](bool& seen, const char* key) {
      if (seen) refuse(fmt::format("the header holds '{}' twice for '{}'", key, shown));
      seen = true;
    };
    std::string key;
    text_.object([&] {
      text_.string(&key, kLongestName);
      text_.expect(':');
      if (key == "dtype") {
        once(has_dtype, "dtype");
        entry.dtype = dtype(shown);
      } else if (key == "shape") {
        once(has_shape, "shape");
        shape(shown, entry.shape);
      } else if (key == "data_offsets") {
        once(has_offsets, "data_offsets");
        offsets(shown, entry);
      } else {
        refuse(fmt::format("'{}' has the unknown field '{}'", shown, shown_name(key)));
      }
    });
    if (!has_dtype) refuse(fmt::format("'{}' has no dtype", shown));
    if (!has_shape) refuse(fmt::format("'{}' has no shape", shown));
    if (!has_offsets) refuse(fmt::format("'{}' has no pair of data_offsets", shown));
    check_extent(shown, entry);
    if (!sink_) return;
    entry.name = name;
    entry.shape.shrink_to_fit();
    sink_->entries.push_back(std::move(entry));
  }

  at::ScalarType dtype(const std::string& shown) {
    if (!text_.next_is('"')) refuse(fmt::format("'{}' has no dtype: it is not a string", shown));
    std::string text;
    text_.string(&text, kLongestName);
    for (const SafetensorsDtype& known : kSafetensorsDtypes) {
      if (known.name == text) return known.type;
    }
    refuse(fmt::format("'{}' has the unknown dtype '{}'", shown, shown_name(text)));
  }

  void shape(const std::string& shown, std::vector<int64_t>& sizes) {
    if (!text_.next_is('[')) refuse(fmt::format("'{}' has no shape: it is not a list", shown));
    text_.array([&] {
      if (sizes.size() == kMostDimensions)
        refuse(fmt::format("'{}' has too many dimensions", shown));
      const uint64_t size =
          text_.whole_number([&] { return fmt::format("a size in the shape of '{}'", shown); });
      if (size > kMost) refuse(fmt::format("the shape of '{}' is too large", shown));
      sizes.push_back(static_cast<int64_t>(size));
    });
  }

  void offsets(const std::string& shown, Entry& entry) {
    const auto no_pair = [&] { refuse(fmt::format("'{}' has no pair of data_offsets", shown)); };
    if (!text_.next_is('[')) no_pair();
    size_t count = 0;
    text_.array([&] {
      if (count == 2) no_pair();
      (count == 0 ? entry.begin : entry.end) = text_.whole_number(
          [&] { return fmt::format("the {} byte of '{}'", count == 0 ? "first" : "last", shown); });
      ++count;
    });
    if (count != 2) no_pair();
  }

  void check_extent(const std::string& shown, const Entry& entry) const {
    uint64_t num_bytes = c10::elementSize(entry.dtype);
    uint64_t extent = num_bytes;  // the same product without zeros: strides must not overflow
    for (const int64_t signed_size : entry.shape) {
      const auto size = static_cast<uint64_t>(signed_size);
      if (size > 1 && extent > kMost / size)
        refuse(fmt::format("the shape of '{}' is too large", shown));
      extent *= std::max<uint64_t>(size, 1);
      num_bytes *= size;
    }
    if (entry.end < entry.begin || entry.end - entry.begin != num_bytes) {
      refuse(fmt::format("'{}' lies at bytes {} to {}, but its shape and dtype need {} bytes",
                         shown, entry.begin, entry.end, num_bytes));
    }
    if (entry.end > data_bytes_) {
      refuse(fmt::format("'{}' ends at byte {}, but the file has {} bytes of data", shown,
                         entry.end, data_bytes_));
    }
  }

  const std::string& file_;
  HeaderText text_;
  uint64_t data_bytes_;
  SafetensorsHeader* sink_;
  size_t num_entries_ = 0;
};

}  // namespace

SafetensorsHeader parse_safetensors_header(const std::string& file, std::string_view text,
                                           uint64_t data_bytes) {
  const size_t num_entries = HeaderParser(file, text, data_bytes, nullptr).parse();
  SafetensorsHeader header;
  header.entries.reserve(num_entries);
  HeaderParser(file, text, data_bytes, &header).parse();
  return header;
}

void refuse_safetensors(const std::string& file, const std::string& what) {
  throw Error(ErrorKind::kData, fmt::format("{} is not a valid safetensors file: {}", file, what),
              "it is cut short, damaged or of another format; write or download it again");
}

std::string shown_name(std::string_view name) {
  constexpr size_t kMostShown = 120;
  std::string shown(name.substr(0, kMostShown));
  if (name.size() > kMostShown) {
    while (!shown.empty() && (static_cast<unsigned char>(shown.back()) & 0xC0) == 0x80)
      shown.pop_back();  // not in the middle of a character
    if (!shown.empty() && static_cast<unsigned char>(shown.back()) >= 0xC0) shown.pop_back();
    shown += fmt::format("... ({} bytes)", name.size());
  }
  std::replace_if(
      shown.begin(), shown.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }, '?');
  return shown;
}

}  // namespace baleen
