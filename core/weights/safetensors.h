#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/weights/named_tensors.h"

namespace baleen {

/// A safetensors file, mapped into memory.
///
/// Layout: u64 little-endian length of the header, a JSON object {name: {dtype, shape,
/// data_offsets}, "__metadata__": {string: string}}, padded with spaces, then the tensors' bytes,
/// row-major. Opening checks the whole header against the file's length, so that no later access
/// can leave the file: every dtype known, every byte range as long as its shape says, the ranges
/// covering the data without gap or overlap, no name twice. Values are not checked: that is what
/// the manifest's checksums are for.
class SafetensorsFile {
 public:
  struct Entry {
    std::string name;
    at::ScalarType dtype = at::ScalarType::Undefined;
    std::vector<int64_t> shape;
    uint64_t begin = 0;  ///< first byte, counted from the end of the header
    uint64_t end = 0;
  };

  /// @throws Error kData naming the file and what is malformed; kStorage where it can't be read.
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::string& name() const { return name_; }  ///< the path, for messages
  /// In the order of their bytes in the file.
  const std::vector<Entry>& entries() const { return entries_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  bool contains(const std::string& name) const { return find(name) != nullptr; }

  /// A tensor that shares the mapping and keeps it alive; a copy only where the bytes are not
  /// aligned for their dtype. Writing to it changes this process's view, never the file. The file
  /// must not be truncated meanwhile: files of ours are replaced by renaming, never changed.
  /// @throws Error kData naming file and tensor for an unknown name.
  at::Tensor tensor(const std::string& name) const;
  /// All tensors, as tensor() gives them, in the order of the file.
  NamedTensors tensors() const;

 private:
  struct Mapping;
  void parse_header(const std::filesystem::path& path);
  const Entry* find(const std::string& name) const;
  at::Tensor tensor_of(const Entry& entry) const;

  std::string name_;
  std::shared_ptr<const Mapping> mapping_;
  uint64_t data_begin_ = 0;
  std::vector<Entry> entries_;
  std::vector<uint32_t> by_name_;  ///< positions in entries_, sorted by name
  std::map<std::string, std::string> metadata_;
};

/// Writes tensors of any device and memory layout, atomically, as torchvision and the safetensors
/// package read them. The same tensors and metadata give the same bytes: widest dtypes first (which
/// aligns all of them), then by name.
/// @throws Error kInternal for a name that occurs twice or a dtype the format does not have;
/// kStorage as write_file_atomically.
void write_safetensors(const std::filesystem::path& path, const NamedTensors& tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace baleen
