#include "data/verify.h"

#include <fmt/format.h>

#include <atomic>
#include <exception>
#include <functional>
#include <set>
#include <thread>

#include "core/base/atomic_file.h"
#include "core/base/digest.h"
#include "core/base/error.h"
#include "data/image/jpeg.h"
#include "data/manifest.h"
#include "data/pack/source_table.h"
#include "data/shard.h"

namespace baleen {
namespace {

namespace fs = std::filesystem;

class Verifier {
 public:
  Verifier(const fs::path& directory, const Manifest& manifest, const VerifyOptions& options)
      : directory_(directory),
        manifest_(manifest),
        options_(options),
        label_counts_(manifest.label_names.size()) {}

  std::vector<std::string> run() {
    bool all_opened = true;
    for (size_t i = 0; i < manifest_.shards.size(); ++i) all_opened &= check_shard(i);
    if (all_opened && label_counts_ != manifest_.label_counts)
      report(directory_ / Manifest::kFileName, "label_counts are not those of the shards");
    if (all_opened) check_copies();
    check_table(Manifest::kQuarantineFileName, manifest_.quarantine_digest);
    if (!manifest_.sources_digest.empty())
      check_table(source_table_name(manifest_.sources_digest), manifest_.sources_digest);
    return std::move(problems_);
  }

 private:
  void report(const fs::path& file, const std::string& what) {
    problems_.push_back(file.string() + ": " + what);
  }

  using Problems = std::vector<std::string>;
  using Task = std::function<void(Problems&)>;

  // False when the shard can't be opened at all.
  bool check_shard(size_t index) {
    const ShardEntry& entry = manifest_.shards[index];
    const fs::path file = directory_ / entry.file;
    try {
      const Shard shard(directory_, manifest_, index, Shard::Check::kNothing);
      const size_t before = problems_.size();
      check_index(shard);
      std::vector<Task> tasks;
      add_row_tasks(shard, tasks);
      add_dataset_tasks(shard, entry, tasks);
      bool whole = true;
      tasks.push_back([&](Problems&) {
        whole = digest_hex(shard.bytes().data(), shard.bytes().size()) == entry.digest;
      });
      run_all(tasks);
      if (problems_.size() == before && !whole)
        report(file, "bytes outside the datasets (HDF5's own structures) are changed");
      return true;
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kData) throw;
      problems_.push_back(error.message());
      return false;
    }
  }

  // On all threads; what they find is kept in the order of the tasks.
  void run_all(const std::vector<Task>& tasks) {
    std::vector<Problems> found(tasks.size());
    std::vector<std::exception_ptr> failures(tasks.size());
    std::atomic<size_t> next = 0;
    const auto work = [&] {
      for (size_t i = next++; i < tasks.size(); i = next++) {
        try {
          tasks[i](found[i]);
        } catch (...) {
          failures[i] = std::current_exception();
        }
      }
    };
    {
      std::vector<std::jthread> threads;
      for (int64_t t = 1; t < options_.threads; ++t) threads.emplace_back(work);
      work();
    }
    for (size_t i = 0; i < tasks.size(); ++i) {
      if (failures[i]) std::rethrow_exception(failures[i]);
      problems_.insert(problems_.end(), found[i].begin(), found[i].end());
    }
  }

  // Ids, labels, groups: small, and looked at as a whole.
  void check_index(const Shard& shard) {
    for (int64_t row = 0; row < shard.rows(); ++row) {
      const std::string id(shard.ids[static_cast<size_t>(row)]);
      if (!shard.index_matches(row))
        report(
            shard.file(),
            fmt::format("index (ids, groups, copies_of, original_sizes, labels or classes), row {} "
                        "('{}') does not match its checksum",
                        row, id));
      if (!ids_.insert(id).second)
        report(shard.file(), fmt::format("row {}: the id '{}' occurs twice", row, id));
    }
    for (size_t row = 0; row < shard.ids.size(); ++row)
      if (const std::string_view source = shard.copy_of(row); !source.empty())
        copies_.push_back({shard.file(), std::string(shard.ids[row]), std::string(source)});
    const size_t num_labels = label_counts_.size();
    for (size_t i = 0; i < shard.labels.size(); ++i)
      label_counts_[i % num_labels] += shard.labels[i];
    for (size_t i = 0; i < shard.classes.size(); ++i)
      ++label_counts_[static_cast<size_t>(shard.classes[i])];
  }

  // Payloads in pieces of about 16 MB.
  void add_row_tasks(const Shard& shard, std::vector<Task>& tasks) const {
    constexpr int64_t kPieceBytes = int64_t{1} << 24;
    const int64_t row_bytes =
        std::max<int64_t>(1, static_cast<int64_t>(shard.bytes().size()) / shard.rows());
    const int64_t piece = std::max<int64_t>(1, kPieceBytes / row_bytes);
    for (int64_t first = 0; first < shard.rows(); first += piece)
      tasks.push_back(
          [this, &shard, first, last = std::min(first + piece, shard.rows())](Problems& problems) {
            std::vector<uint8_t> scratch;
            for (int64_t row = first; row < last; ++row) check_row(shard, row, scratch, problems);
          });
  }

  void check_row(const Shard& shard, int64_t row, std::vector<uint8_t>& scratch,
                 Problems& problems) const {
    for (size_t p = 0; p < manifest_.num_payloads(); ++p) {
      const std::span<const uint8_t> bytes = shard.payload(p, row);
      const auto add = [&](const std::string& what) {
        problems.push_back(fmt::format("{}: {}, row {} ('{}'){}", shard.file(),
                                       payload_dataset(manifest_, p), row,
                                       shard.ids[static_cast<size_t>(row)], what));
      };
      if (crc32c(bytes.data(), bytes.size()) != shard.checksum(p, row)) {
        add(" does not match its checksum");
      } else if (options_.decode && manifest_.encoding == Encoding::kJpeg) {
        try {
          decode_jpeg(bytes, manifest_.channels, 0, scratch);
        } catch (const Error& error) {
          add(": " + error.message());
        }
      }
    }
  }

  void add_dataset_tasks(const Shard& shard, const ShardEntry& entry,
                         std::vector<Task>& tasks) const {
    for (const auto& [name, digest] : entry.datasets)
      tasks.push_back([&shard, &name = name, &digest = digest](Problems& problems) {
        const auto found = shard.datasets().find(name);
        if (found == shard.datasets().end())
          problems.push_back(shard.file() + ": dataset " + name + " is missing");
        else if (digest_hex(found->second.data(), found->second.size()) != digest)
          problems.push_back(shard.file() + ": dataset " + name +
                             " does not match its digest in the manifest");
      });
    for (const auto& [name, bytes] : shard.datasets())
      if (!entry.datasets.contains(name))
        tasks.push_back([&shard, &name = name](Problems& problems) {
          problems.push_back(shard.file() + ": dataset " + name + " is not in the manifest");
        });
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

  void check_table(const std::string& name, const std::string& digest) {
    const fs::path file = directory_ / name;
    if (!fs::exists(file)) {
      if (!digest.empty()) report(file, "is missing");
    } else if (digest_hex(read_file(file)) != digest) {
      report(file, "does not match its digest in the manifest");
    }
  }

  const fs::path& directory_;
  const Manifest& manifest_;
  const VerifyOptions& options_;
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

std::vector<std::string> verify_dataset(const fs::path& directory, const VerifyOptions& options) {
  Manifest manifest;
  try {
    manifest = read_manifest(directory);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kData) throw;
    return {error.message()};
  }
  return Verifier(directory, manifest, options).run();
}

}  // namespace baleen
