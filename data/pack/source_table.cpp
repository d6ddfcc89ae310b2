#include "data/pack/source_table.h"

#include <fmt/format.h>

#include "core/base/atomic_file.h"
#include "core/base/digest.h"
#include "core/base/error.h"
#include "data/pack/csv.h"

namespace baleen {
namespace {

constexpr size_t kStampDigits = 16;

std::string pixels_digest(const IdxArray& idx, int64_t index) {
  const size_t size = idx.values.size() / static_cast<size_t>(idx.shape.at(0));
  return digest_hex(idx.values.data() + static_cast<size_t>(index) * size, size);
}

}  // namespace

std::vector<std::string> source_stamps(const SourceList& list, std::span<const size_t> samples) {
  std::vector<std::string> stamps;
  stamps.reserve(samples.size());
  SourceList one;  // so that whatever the digest of a list looks at is part of the stamp
  one.target_kind = list.target_kind;
  one.samples.resize(1);
  for (const size_t i : samples) {
    one.samples[0] = list.samples[i];
    std::string digest;
    if (list.idx) {
      one.samples[0].file.clear();
      digest = digest_hex(digest_of(one) + pixels_digest(*list.idx, list.samples[i].index));
    } else {
      digest = digest_of(one);
    }
    stamps.push_back(digest.substr(0, kStampDigits));
  }
  return stamps;
}

std::string source_table_text(const std::vector<PackedSource>& table) {
  std::string text = "id,stamp,file,reason\n";
  for (const PackedSource& row : table)
    text += fmt::format("{},{},{},{}\n", csv_field(row.id), row.stamp, csv_field(row.file),
                        csv_field(row.reason));
  return text;
}

std::string source_table_name(const std::string& digest) {
  return fmt::format("sources-{}.csv", digest.substr(0, 8));
}

std::vector<PackedSource> read_source_table(const std::filesystem::path& directory,
                                            const Manifest& manifest) {
  const std::filesystem::path file = directory / source_table_name(manifest.sources_digest);
  const char* hint = "nothing can be appended; pack the whole with --overwrite";
  if (manifest.sources_digest.empty() || !std::filesystem::exists(file))
    throw Error(ErrorKind::kData,
                directory.string() + " does not say which files it was packed from", hint);
  if (digest_hex(read_file(file)) != manifest.sources_digest)
    throw Error(ErrorKind::kData, file.string() + " does not match its digest in the manifest",
                hint);
  const CsvTable csv = CsvTable::read(file);
  std::vector<PackedSource> table;
  table.reserve(csv.num_rows());
  for (size_t r = 0; r < csv.num_rows(); ++r)
    table.push_back({csv.at(r, 0), csv.at(r, 1), csv.at(r, 2), csv.at(r, 3)});
  return table;
}

std::string quarantine_text(const std::vector<PackedSource>& table) {
  std::string text;
  for (const PackedSource& row : table)
    if (!row.reason.empty())
      text +=
          fmt::format("{},{},{}\n", csv_field(row.id), csv_field(row.file), csv_field(row.reason));
  return text.empty() ? text : "id,file,reason\n" + text;
}

}  // namespace baleen
