#include "data/pack/shard_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "core/base/digest.h"
#include "core/base/error.h"
#include "data/hdf5/file.h"
#include "data/mapped_file.h"
#include "data/shard.h"

namespace baleen {
namespace {

UniqueFileDescriptor create_file(const std::filesystem::path& path) {
  UniqueFileDescriptor descriptor(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!descriptor) throw storage_error("create", path, errno);
  return descriptor;
}

void sync_file(const std::filesystem::path& path) {
  const UniqueFileDescriptor descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!descriptor || ::fsync(descriptor.get()) != 0) throw storage_error("write", path, errno);
}

// Copies rows in pieces that stay in the processor's cache less than in memory's way.
void copy_rows(hdf5::Dataset dataset, std::span<const uint8_t> bytes, int64_t rows,
               int64_t row_bytes) {
  constexpr int64_t kPieceBytes = int64_t{1} << 23;
  const int64_t piece = std::max<int64_t>(1, kPieceBytes / std::max<int64_t>(1, row_bytes));
  for (int64_t first = 0; first < rows; first += piece) {
    const int64_t count = std::min(piece, rows - first);
    dataset.write_rows<uint8_t>(first, count,
                                bytes.subspan(static_cast<size_t>(first * row_bytes),
                                              static_cast<size_t>(count * row_bytes)));
  }
}

}  // namespace

struct ShardWriter::Spool {
  explicit Spool(const std::filesystem::path& file)
      : path(file), descriptor(create_file(file)), writer(descriptor.get(), file) {}
  ~Spool() {
    std::error_code ignored;
    std::filesystem::remove(path, ignored);
  }
  std::filesystem::path path;
  UniqueFileDescriptor descriptor;
  FileWriter writer;
  std::vector<int64_t> offsets = {0};
  std::vector<uint32_t> checksums;
};

ShardWriter::ShardWriter(std::filesystem::path file, const Manifest& manifest)
    : file_(std::move(file)), manifest_(manifest) {
  for (size_t r = 0; r < manifest.num_payloads(); ++r)
    spools_.push_back(
        std::make_unique<Spool>(file_.string() + "." + payload_dataset(manifest, r) + ".spool"));
}

ShardWriter::~ShardWriter() = default;

void ShardWriter::append(const PackedRow& row) {
  for (size_t r = 0; r < spools_.size(); ++r) {
    const std::vector<uint8_t>& payload = row.payloads.at(r);
    Spool& spool = *spools_[r];
    spool.writer.write(payload.data(), payload.size());
    spool.offsets.push_back(spool.offsets.back() + static_cast<int64_t>(payload.size()));
    spool.checksums.push_back(crc32c(payload.data(), payload.size()));
  }
  ids_.push_back(row.id);
  groups_.push_back(row.group);
  copies_of_.push_back(row.copy_of);
  original_sizes_.insert(original_sizes_.end(), {row.original_height, row.original_width});
  if (manifest_.target_kind == TargetKind::kSingleClass)
    classes_.push_back(static_cast<int32_t>(row.labels.at(0)));
  if (manifest_.target_kind == TargetKind::kMultiLabel) {
    labels_.resize(labels_.size() + manifest_.label_names.size(), 0);
    uint8_t* of_row = labels_.data() + labels_.size() - manifest_.label_names.size();
    for (const int64_t label : row.labels) of_row[label] = 1;
  }
}

std::vector<uint32_t> ShardWriter::index_checksums() const {
  std::vector<uint32_t> checksums;
  const size_t num_labels = labels_.size() / std::max<size_t>(1, ids_.size());
  for (size_t row = 0; row < ids_.size(); ++row) {
    std::span<const uint8_t> target(labels_.data() + row * num_labels, num_labels);
    if (!classes_.empty())
      target = {reinterpret_cast<const uint8_t*>(&classes_[row]), sizeof classes_[row]};
    checksums.push_back(index_checksum({.id = ids_[row],
                                        .group = groups_[row],
                                        .copy_of = copies_of_[row],
                                        .original_height = original_sizes_[2 * row],
                                        .original_width = original_sizes_[2 * row + 1],
                                        .target = target}));
  }
  return checksums;
}

ShardEntry ShardWriter::finish() {
  const int64_t n = rows();
  hdf5::File file = hdf5::File::create(file_);
  file.set_attribute("format", std::string("baleen packed dataset"));
  file.set_attribute("version", Manifest::kVersion);
  // The small index comes first, so that opening a shard reads one place of the disk.
  file.write_strings("ids", ids_);
  file.write_strings("groups", groups_);
  file.write_strings("copies_of", copies_of_);
  file.write<int32_t>("original_sizes", {n, 2}, original_sizes_);
  const auto num_labels = static_cast<int64_t>(manifest_.label_names.size());
  if (manifest_.target_kind == TargetKind::kSingleClass)
    file.write<int32_t>("classes", {n}, classes_);
  if (manifest_.target_kind == TargetKind::kMultiLabel)
    file.write<uint8_t>("labels", {n, num_labels}, labels_);
  file.write<uint32_t>(Shard::kIndexChecksums, {n}, index_checksums());
  for (size_t r = 0; r < spools_.size(); ++r) {
    file.write<uint32_t>(checksum_dataset(manifest_, r), {n}, spools_[r]->checksums);
    if (manifest_.encoding == Encoding::kJpeg)
      file.write<int64_t>(offsets_dataset(manifest_, r), {n + 1}, spools_[r]->offsets);
  }
  for (size_t r = 0; r < spools_.size(); ++r) {
    spools_[r]->writer.flush();
    const MappedFile spooled(spools_[r]->path);
    const std::string name = payload_dataset(manifest_, r);
    const auto size = static_cast<int64_t>(spooled.bytes().size());
    if (manifest_.encoding == Encoding::kJpeg) {
      copy_rows(file.create_dataset(name, hdf5::ElementType::kU8, {size}), spooled.bytes(), size,
                1);
    } else {
      const Resolution& side = manifest_.resolution_of(r);
      copy_rows(file.create_dataset(name, hdf5::ElementType::kU8,
                                    {n, side.height, side.width, manifest_.channels}),
                spooled.bytes(), n, size / n);
    }
    spools_[r].reset();
  }
  file.close();
  sync_file(file_);
  return describe_shard(file_, n);
}

}  // namespace baleen
