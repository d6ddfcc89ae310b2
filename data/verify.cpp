#include "data/verify.h"

#include <fmt/format.h>

#include <set>

#include "core/base/atomic_file.h"
#include "core/base/digest.h"
#include "core/base/error.h"
#include "data/image/jpeg.h"
#include "data/manifest.h"
#include "data/shard.h"

namespace baleen {
namespace {

namespace fs = std::filesystem;

class Verifier {
 public:
  Verifier(const fs::path& directory, const Manifest& manifest)
      : directory_(directory), manifest_(manifest), label_counts_(manifest.label_names.size()) {}

  std::vector<std::string> run() {
    bool all_opened = true;
    for (size_t i = 0; i < manifest_.shards.size(); ++i) all_opened &= check_shard(i);
    if (all_opened && label_counts_ != manifest_.label_counts)
      report(directory_ / Manifest::kFileName, "label_counts are not those of the shards");
    if (all_opened) check_copies();
    check_quarantine();
    return std::move(problems_);
  }

 private:
  void report(const fs::path& file, const std::string& what) {
    problems_.push_back(file.string() + ": " + what);
  }

  // False when the shard can't be opened at all.
  bool check_shard(size_t index) {
    const ShardEntry& entry = manifest_.shards[index];
    const fs::path file = directory_ / entry.file;
    try {
      const Shard shard(directory_, manifest_, index, Shard::Check::kNothing);
      const size_t before = problems_.size();
      check_rows(shard);
      check_datasets(shard, entry);
      if (problems_.size() == before &&
          digest_hex(shard.bytes().data(), shard.bytes().size()) != entry.digest)
        report(file, "bytes outside the datasets (HDF5's own structures) are changed");
      return true;
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kData) throw;
      problems_.push_back(error.message());
      return false;
    }
  }

  void check_rows(const Shard& shard) {
    std::vector<uint8_t> scratch;
    for (int64_t row = 0; row < shard.rows(); ++row) {
      const std::string& id = shard.ids[static_cast<size_t>(row)];
      if (!ids_.insert(id).second)
        report(shard.file(), fmt::format("row {}: the id '{}' occurs twice", row, id));
      for (size_t r = 0; r < manifest_.num_payloads(); ++r) {
        const std::span<const uint8_t> bytes = shard.payload(r, row);
        const std::string place =
            fmt::format("{}, row {} ('{}')", payload_dataset(manifest_, r), row, id);
        if (crc32c(bytes.data(), bytes.size()) != shard.checksum(r, row)) {
          report(shard.file(), place + " does not match its checksum");
        } else if (manifest_.encoding == Encoding::kJpeg) {
          try {
            decode_jpeg(bytes, manifest_.channels, 0, scratch);
          } catch (const Error& error) {
            report(shard.file(), place + ": " + error.message());
          }
        }
      }
    }
    for (size_t row = 0; row < shard.ids.size(); ++row)
      if (!shard.copies_of[row].empty())
        copies_.push_back({shard.file(), shard.ids[row], shard.copies_of[row]});
    const size_t num_labels = label_counts_.size();
    for (size_t i = 0; i < shard.labels.size(); ++i)
      label_counts_[i % num_labels] += shard.labels[i];
    for (const int32_t index : shard.classes) ++label_counts_[static_cast<size_t>(index)];
  }

  void check_datasets(const Shard& shard, const ShardEntry& entry) {
    for (const auto& [name, digest] : entry.datasets) {
      const auto found = shard.datasets().find(name);
      if (found == shard.datasets().end())
        report(shard.file(), "dataset " + name + " is missing");
      else if (digest_hex(found->second.data(), found->second.size()) != digest)
        report(shard.file(), "dataset " + name + " does not match its digest in the manifest");
    }
    for (const auto& [name, bytes] : shard.datasets())
      if (!entry.datasets.contains(name))
        report(shard.file(), "dataset " + name + " is not in the manifest");
  }

  void check_copies() {
    if (std::ssize(copies_) != manifest_.copies)
      report(
          directory_ / Manifest::kFileName,
          fmt::format("it counts {} copies, the shards hold {}", manifest_.copies, copies_.size()));
    std::set<std::string> copies;
    for (const Copy& copy : copies_) copies.insert(copy.id);
    for (const Copy& copy : copies_)
      if (!ids_.contains(copy.source) || copies.contains(copy.source))
        report(copy.file,
               fmt::format("'{}' is a copy of '{}', which is no original", copy.id, copy.source));
  }

  void check_quarantine() {
    const fs::path file = directory_ / Manifest::kQuarantineFileName;
    if (!fs::exists(file)) {
      if (!manifest_.quarantine_digest.empty()) report(file, "is missing");
    } else if (digest_hex(read_file(file)) != manifest_.quarantine_digest) {
      report(file, "does not match its digest in the manifest");
    }
  }

  const fs::path& directory_;
  const Manifest& manifest_;
  std::vector<int64_t> label_counts_;
  struct Copy {
    std::string file;
    std::string id;
    std::string source;
  };
  std::vector<Copy> copies_;
  std::set<std::string> ids_;
  std::vector<std::string> problems_;
};

}  // namespace

std::vector<std::string> verify_dataset(const fs::path& directory) {
  Manifest manifest;
  try {
    manifest = read_manifest(directory);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kData) throw;
    return {error.message()};
  }
  return Verifier(directory, manifest).run();
}

}  // namespace baleen
