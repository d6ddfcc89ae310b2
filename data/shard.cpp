#include "data/shard.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/digest.h"
#include "core/base/error.h"
#include "data/hdf5/file.h"

namespace baleen {
namespace {

const char* kHint =
    "the file is damaged or not the one that was packed: restore it or pack the data again";

[[noreturn]] void fail(const std::string& what) { throw Error(ErrorKind::kData, what, kHint); }

std::string shape_text(const hdf5::Shape& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

// A dataset that must have this type and shape.
hdf5::Dataset open_checked(const hdf5::File& file, const std::string& name, hdf5::ElementType type,
                           const hdf5::Shape& shape) {
  hdf5::Dataset dataset = file.open_dataset(name);
  const std::string where = file.description() + ":/" + name;
  if (dataset.type() != type)
    fail(fmt::format("{} holds {}, not {}", where, hdf5::name_of(dataset.type()),
                     hdf5::name_of(type)));
  if (dataset.shape() != shape)
    fail(fmt::format("{} has shape {} where the manifest asks for {}", where,
                     shape_text(dataset.shape()), shape_text(shape)));
  if (hdf5::element_count(shape) > 0 && !dataset.offset())
    fail(where + " is not stored as one piece within the file");
  return dataset;
}

}  // namespace

std::map<std::string, std::span<const uint8_t>> dataset_bytes(const std::filesystem::path& file,
                                                              const MappedFile& mapped) {
  const hdf5::File opened = hdf5::File::open(file);
  std::map<std::string, std::span<const uint8_t>> bytes;
  for (const std::string& name : opened.members()) {
    const hdf5::Dataset dataset = opened.open_dataset(name);
    const uint64_t size = dataset.num_bytes();
    if (size == 0) {
      bytes[name] = {};
      continue;
    }
    // The offset was checked against the file as it is now, the mapping may be older.
    if (!dataset.offset() || *dataset.offset() > mapped.bytes().size() ||
        mapped.bytes().size() - *dataset.offset() < size)
      fail(file.string() + ":/" + name + " is not stored as one piece within the file");
    bytes[name] = mapped.bytes().subspan(*dataset.offset(), size);
  }
  return bytes;
}

ShardEntry describe_shard(const std::filesystem::path& file, int64_t rows) {
  const MappedFile mapped(file);
  ShardEntry entry{.file = file.filename().string(),
                   .rows = rows,
                   .bytes = static_cast<int64_t>(mapped.bytes().size()),
                   .digest = digest_hex(mapped.bytes().data(), mapped.bytes().size())};
  for (const auto& [name, bytes] : dataset_bytes(file, mapped))
    entry.datasets[name] = digest_hex(bytes.data(), bytes.size());
  return entry;
}

Shard::Shard(const std::filesystem::path& directory, const Manifest& manifest, size_t index,
             Check check)
    : file_((directory / manifest.shards[index].file).string()),
      rows_(manifest.shards[index].rows) {
  const ShardEntry& entry = manifest.shards[index];
  mapped_ = MappedFile(file_);
  if (static_cast<int64_t>(mapped_.bytes().size()) != entry.bytes)
    fail(fmt::format("{} has {} bytes where the manifest says {}", file_, mapped_.bytes().size(),
                     entry.bytes));
  datasets_ = dataset_bytes(file_, mapped_);
  read_index(manifest);
  if (check == Check::kNothing) return;
  for (const auto& [name, bytes] : datasets_) {
    bool is_payload = false;
    for (size_t p = 0; p < manifest.num_payloads(); ++p)
      is_payload |= name == payload_dataset(manifest, p);
    if (is_payload) continue;  // checked row by row when read
    const auto digest = entry.datasets.find(name);
    if (digest == entry.datasets.end() || digest->second != digest_hex(bytes.data(), bytes.size()))
      fail(fmt::format("{}:/{} does not match its digest in the manifest", file_, name));
  }
}

void Shard::read_index(const Manifest& manifest) {
  using hdf5::ElementType;
  const hdf5::File file = hdf5::File::open(file_);
  const int64_t num_labels = static_cast<int64_t>(manifest.label_names.size());
  ids = open_checked(file, "ids", ElementType::kString, {rows_}).read_strings();
  groups = open_checked(file, "groups", ElementType::kString, {rows_}).read_strings();
  copies_of = manifest.version < 2
                  ? std::vector<std::string>(ids.size())
                  : open_checked(file, "copies_of", ElementType::kString, {rows_}).read_strings();
  original_sizes =
      open_checked(file, "original_sizes", ElementType::kI32, {rows_, 2}).read<int32_t>();
  if (manifest.target_kind == TargetKind::kMultiLabel) {
    labels = open_checked(file, "labels", ElementType::kU8, {rows_, num_labels}).read<uint8_t>();
    for (size_t i = 0; i < labels.size(); ++i)
      if (labels[i] > 1)
        fail(fmt::format("{}:/labels holds {} at row {}", file_, labels[i],
                         int64_t(i) / num_labels));
  }
  if (manifest.target_kind == TargetKind::kSingleClass) {
    classes = open_checked(file, "classes", ElementType::kI32, {rows_}).read<int32_t>();
    for (size_t i = 0; i < classes.size(); ++i)
      if (classes[i] < 0 || classes[i] >= num_labels)
        fail(fmt::format("{}:/classes holds {} at row {}; there are {} classes", file_, classes[i],
                         i, num_labels));
  }
  for (size_t p = 0; p < manifest.num_payloads(); ++p) {
    const std::string name = payload_dataset(manifest, p);
    checksums_.push_back(
        open_checked(file, checksum_dataset(manifest, p), ElementType::kU32, {rows_})
            .read<uint32_t>());
    if (manifest.encoding == Encoding::kJpeg) {
      const std::string index = offsets_dataset(manifest, p);
      const std::vector<int64_t> offsets =
          open_checked(file, index, ElementType::kI64, {rows_ + 1}).read<int64_t>();
      const auto size = static_cast<int64_t>(datasets_[name].size());
      open_checked(file, name, ElementType::kU8, {size});
      for (size_t i = 0; i + 1 < offsets.size(); ++i)
        if (offsets[i] < 0 || offsets[i] > offsets[i + 1])
          fail(fmt::format("{}:/{} does not ascend at row {}", file_, index, i));
      if (offsets.back() != size)
        fail(fmt::format("{}:/{} ends at {}, the data at {}", file_, index, offsets.back(), size));
      jpeg_offsets_.push_back(offsets);
    } else {
      const Resolution size = manifest.resolution_of(p);
      open_checked(file, name, ElementType::kU8,
                   {rows_, size.height, size.width, manifest.channels});
      row_bytes_.push_back(size.height * size.width * manifest.channels);
    }
    payloads_.push_back(datasets_[name]);
  }
}

std::span<const uint8_t> Shard::payload(size_t payload, int64_t row) const {
  const auto first_and_size = [&]() -> std::pair<int64_t, int64_t> {
    if (jpeg_offsets_.empty()) return {row * row_bytes_[payload], row_bytes_[payload]};
    const std::vector<int64_t>& offsets = jpeg_offsets_[payload];
    const auto i = static_cast<size_t>(row);
    return {offsets[i], offsets[i + 1] - offsets[i]};
  }();
  return payloads_[payload].subspan(static_cast<size_t>(first_and_size.first),
                                    static_cast<size_t>(first_and_size.second));
}

}  // namespace baleen
