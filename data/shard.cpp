#include "data/shard.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>

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
  for (const auto& [name, bytes] : dataset_bytes(file, mapped)) {
    entry.datasets[name] = digest_hex(bytes.data(), bytes.size());
    entry.places[name] = {bytes.empty() ? 0 : bytes.data() - mapped.bytes().data(),
                          static_cast<int64_t>(bytes.size())};
  }
  return entry;
}

uint32_t index_checksum(const IndexRow& row) {
  static_assert(std::endian::native == std::endian::little, "shards are little-endian");
  const int32_t sizes[2] = {row.original_height, row.original_width};
  uint32_t crc = crc32c(row.id);
  crc = crc32c(std::string_view("\0", 1), crc);
  crc = crc32c(row.group, crc);
  crc = crc32c(std::string_view("\0", 1), crc);
  crc = crc32c(sizes, sizeof sizes, crc);
  crc = crc32c(row.target.data(), row.target.size(), crc);
  // Of an original nothing is added: the checksums of files that know no copies.
  return row.copy_of.empty() ? crc : crc32c(row.copy_of, crc);
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
  if (entry.places.empty()) {
    datasets_ = dataset_bytes(file_, mapped_);
    check_types(manifest);
  } else {
    check_places(entry);
  }
  if (check == Check::kIndex) {
    for (const auto& [name, bytes] : datasets_) {
      bool is_payload = false;
      for (size_t p = 0; p < manifest.num_payloads(); ++p)
        is_payload |= name == payload_dataset(manifest, p);
      if (is_payload) continue;  // checked row by row when read
      const auto digest = entry.datasets.find(name);
      if (digest == entry.datasets.end() ||
          digest->second != digest_hex(bytes.data(), bytes.size()))
        fail(fmt::format("{}:/{} does not match its digest in the manifest", file_, name));
    }
  }
  read_index(manifest);
  if (check == Check::kIndex) mapped_.advise_random();  // else it is read from end to end
}

// Datasets where the manifest says that they lie: within the file, none over another.
void Shard::check_places(const ShardEntry& entry) {
  const auto size = static_cast<int64_t>(mapped_.bytes().size());
  std::vector<std::pair<DatasetPlace, std::string>> in_order;
  for (const auto& [name, place] : entry.places) {
    if (place.offset < 0 || place.bytes < 0 || place.offset > size - place.bytes)
      fail(fmt::format("{}:/{} reaches beyond the end of the file", file_, name));
    datasets_[name] = mapped_.bytes().subspan(static_cast<size_t>(place.offset),
                                              static_cast<size_t>(place.bytes));
    if (place.bytes > 0) in_order.emplace_back(place, name);
  }
  std::sort(in_order.begin(), in_order.end(),
            [](const auto& a, const auto& b) { return a.first.offset < b.first.offset; });
  for (size_t i = 1; i < in_order.size(); ++i)
    if (in_order[i].first.offset < in_order[i - 1].first.offset + in_order[i - 1].first.bytes)
      fail(fmt::format("{}:/{} lies over /{}", file_, in_order[i].second, in_order[i - 1].second));
}

// For files whose manifest does not say where datasets lie: types and shapes as HDF5 knows them.
void Shard::check_types(const Manifest& manifest) const {
  using hdf5::ElementType;
  const hdf5::File file = hdf5::File::open(file_);
  const int64_t num_labels = static_cast<int64_t>(manifest.label_names.size());
  open_checked(file, "ids", ElementType::kString, {rows_});
  open_checked(file, "groups", ElementType::kString, {rows_});
  if (manifest.version >= 2) open_checked(file, "copies_of", ElementType::kString, {rows_});
  open_checked(file, "original_sizes", ElementType::kI32, {rows_, 2});
  if (manifest.target_kind == TargetKind::kMultiLabel)
    open_checked(file, "labels", ElementType::kU8, {rows_, num_labels});
  if (manifest.target_kind == TargetKind::kSingleClass)
    open_checked(file, "classes", ElementType::kI32, {rows_});
  for (size_t p = 0; p < manifest.num_payloads(); ++p) {
    open_checked(file, checksum_dataset(manifest, p), ElementType::kU32, {rows_});
    const std::string name = payload_dataset(manifest, p);
    const Resolution size = manifest.resolution_of(p);
    if (manifest.encoding == Encoding::kJpeg)
      open_checked(file, offsets_dataset(manifest, p), ElementType::kI64, {rows_ + 1});
    else
      open_checked(file, name, ElementType::kU8,
                   {rows_, size.height, size.width, manifest.channels});
  }
}

// The bytes of a dataset that must have just as many.
std::span<const uint8_t> Shard::column(const std::string& name, int64_t rows,
                                       int64_t row_bytes) const {
  const auto found = datasets_.find(name);
  if (found == datasets_.end()) fail(fmt::format("{} has no dataset '{}'", file_, name));
  const auto size = static_cast<int64_t>(found->second.size());
  if (row_bytes == 0 ? size != 0 : size % row_bytes != 0 || size / row_bytes != rows)
    fail(fmt::format("{}:/{} has {} bytes where the manifest asks for {} times {}", file_, name,
                     size, rows, row_bytes));
  return found->second;
}

StringColumn Shard::strings(const std::string& name) const {
  const auto found = datasets_.find(name);
  if (found == datasets_.end()) fail(fmt::format("{} has no dataset '{}'", file_, name));
  const auto size = static_cast<int64_t>(found->second.size());
  if (size == 0 || size % rows_ != 0)
    fail(fmt::format("{}:/{} has {} bytes, no whole number for {} rows", file_, name, size, rows_));
  return {found->second, rows_};
}

void Shard::read_index(const Manifest& manifest) {
  const int64_t num_labels = static_cast<int64_t>(manifest.label_names.size());
  ids = strings("ids");
  groups = strings("groups");
  if (manifest.version >= 2) copies_of_ = strings("copies_of");
  original_sizes = NumberColumn<int32_t>(column("original_sizes", rows_, 2 * sizeof(int32_t)));
  if (manifest.target_kind == TargetKind::kMultiLabel) {
    labels = column("labels", rows_, num_labels);
    for (size_t i = 0; i < labels.size(); ++i)
      if (labels[i] > 1)
        fail(fmt::format("{}:/labels holds {} at row {}", file_, labels[i],
                         int64_t(i) / num_labels));
  }
  if (manifest.target_kind == TargetKind::kSingleClass) {
    classes = NumberColumn<int32_t>(column("classes", rows_, sizeof(int32_t)));
    for (size_t i = 0; i < classes.size(); ++i)
      if (classes[i] < 0 || classes[i] >= num_labels)
        fail(fmt::format("{}:/classes holds {} at row {}; there are {} classes", file_, classes[i],
                         i, num_labels));
  }
  if (datasets_.contains(kIndexChecksums))
    index_checksums_ = NumberColumn<uint32_t>(column(kIndexChecksums, rows_, sizeof(uint32_t)));
  for (size_t p = 0; p < manifest.num_payloads(); ++p) {
    const std::string name = payload_dataset(manifest, p);
    checksums_.emplace_back(column(checksum_dataset(manifest, p), rows_, sizeof(uint32_t)));
    if (manifest.encoding == Encoding::kJpeg) {
      const std::string index = offsets_dataset(manifest, p);
      const NumberColumn<int64_t> offsets(column(index, rows_ + 1, sizeof(int64_t)));
      if (!datasets_.contains(name)) fail(fmt::format("{} has no dataset '{}'", file_, name));
      const auto size = static_cast<int64_t>(datasets_[name].size());
      for (size_t i = 0; i + 1 < offsets.size(); ++i)
        if (offsets[i] < 0 || offsets[i] > offsets[i + 1])
          fail(fmt::format("{}:/{} does not ascend at row {}", file_, index, i));
      const int64_t end = offsets[offsets.size() - 1];
      if (end != size)
        fail(fmt::format("{}:/{} ends at {}, the data at {}", file_, index, end, size));
      jpeg_offsets_.push_back(offsets);
      payloads_.push_back(datasets_[name]);
    } else {
      const Resolution size = manifest.resolution_of(p);
      row_bytes_.push_back(size.height * size.width * manifest.channels);
      payloads_.push_back(column(name, rows_, row_bytes_.back()));
    }
  }
}

bool Shard::index_matches(int64_t row) const {
  if (index_checksums_.size() == 0) return true;
  const auto r = static_cast<size_t>(row);
  const size_t num_labels = labels.size() / ids.size();
  std::span<const uint8_t> target = labels.subspan(r * num_labels, num_labels);
  const int32_t index = classes.size() > 0 ? classes[r] : 0;
  if (classes.size() > 0) target = {reinterpret_cast<const uint8_t*>(&index), sizeof index};
  return index_checksums_[r] == index_checksum({.id = ids[r],
                                                .group = groups[r],
                                                .copy_of = copy_of(r),
                                                .original_height = original_sizes[2 * r],
                                                .original_width = original_sizes[2 * r + 1],
                                                .target = target});
}

std::span<const uint8_t> Shard::payload(size_t payload, int64_t row) const {
  const auto first_and_size = [&]() -> std::pair<int64_t, int64_t> {
    if (jpeg_offsets_.empty()) return {row * row_bytes_[payload], row_bytes_[payload]};
    const NumberColumn<int64_t>& offsets = jpeg_offsets_[payload];
    const auto i = static_cast<size_t>(row);
    return {offsets[i], offsets[i + 1] - offsets[i]};
  }();
  return payloads_[payload].subspan(static_cast<size_t>(first_and_size.first),
                                    static_cast<size_t>(first_and_size.second));
}

}  // namespace baleen
