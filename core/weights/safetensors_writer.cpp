#include <ATen/ATen.h>
#include <c10/core/ScalarType.h>
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "core/weights/safetensors.h"
#include "core/weights/safetensors_dtype.h"

namespace baleen {
namespace {

using OrderedJson = nlohmann::ordered_json;

std::string_view dtype_name(const std::string& name, at::ScalarType type) {
  for (const SafetensorsDtype& known : kSafetensorsDtypes) {
    if (known.type == type) return known.name;
  }
  throw Error(ErrorKind::kInternal,
              fmt::format("tensor '{}' has the dtype {}, which safetensors does not have", name,
                          c10::toString(type)));
}

/// Widest first: as the data start at a multiple of eight bytes, every tensor then starts at a
/// multiple of its width.
NamedTensors in_file_order(NamedTensors tensors) {
  std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) {
    const auto width_a = a.second.element_size(), width_b = b.second.element_size();
    return width_a != width_b ? width_a > width_b : a.first < b.first;
  });
  return tensors;
}

std::string header_of(const NamedTensors& tensors,
                      const std::map<std::string, std::string>& metadata) {
  OrderedJson header = OrderedJson::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t begin = 0;
  for (const auto& [name, tensor] : tensors) {
    if (name == "__metadata__" || header.contains(name)) {
      throw Error(ErrorKind::kInternal, fmt::format("the tensor name '{}' is taken already", name));
    }
    const uint64_t end = begin + tensor.nbytes();
    header[name] = {{"dtype", dtype_name(name, tensor.scalar_type())},
                    {"shape", tensor.sizes().vec()},
                    {"data_offsets", {begin, end}}};
    begin = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

}  // namespace

void write_safetensors(const std::filesystem::path& path, const NamedTensors& tensors,
                       const std::map<std::string, std::string>& metadata) {
  const NamedTensors ordered = in_file_order(tensors);
  const std::string header = header_of(ordered, metadata);
  write_file_atomically(path, [&](FileWriter& file) {
    const uint64_t header_bytes = header.size();
    file.write(&header_bytes, sizeof(header_bytes));
    file.write(header);
    for (const auto& [name, tensor] : ordered) {
      // One tensor at a time leaves its device: the file may be larger than what memory has to
      // spare.
      const at::Tensor bytes = tensor.detach().to(at::kCPU).contiguous();
      file.write(bytes.const_data_ptr(), bytes.nbytes());
    }
  });
}

}  // namespace baleen
