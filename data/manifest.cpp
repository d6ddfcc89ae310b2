#include "data/manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "core/base/atomic_file.h"
#include "core/base/digest.h"
#include "core/base/error.h"

namespace baleen {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "baleen packed dataset";
constexpr int64_t kLargestSide = 65535;

const char* name_of(TargetKind kind) {
  switch (kind) {
    case TargetKind::kMultiLabel:
      return "multi_label";
    case TargetKind::kSingleClass:
      return "single_class";
    case TargetKind::kNone:
      break;
  }
  return "none";
}

TargetKind target_kind_of(const std::string& name) {
  for (TargetKind kind : {TargetKind::kMultiLabel, TargetKind::kSingleClass, TargetKind::kNone})
    if (name == name_of(kind)) return kind;
  throw Error(ErrorKind::kData, "unknown target_kind '" + name + "'");
}

const char* name_of(Encoding encoding) { return encoding == Encoding::kRaw ? "raw" : "jpeg"; }

Encoding encoding_of(const std::string& name) {
  for (Encoding encoding : {Encoding::kRaw, Encoding::kJpeg})
    if (name == name_of(encoding)) return encoding;
  throw Error(ErrorKind::kData, "unknown encoding '" + name + "'");
}

Json content_json(const Manifest& manifest) {
  Json json;
  json["target_kind"] = name_of(manifest.target_kind);
  json["labels"] = manifest.label_names;
  json["label_counts"] = manifest.label_counts;
  json["rows"] = manifest.rows;
  if (manifest.version >= 2) json["copies"] = manifest.copies;
  json["channels"] = manifest.channels;
  json["encoding"] = name_of(manifest.encoding);
  json["resolutions"] = Json::array();
  for (const Resolution& r : manifest.resolutions)
    json["resolutions"].push_back({r.height, r.width});
  if (manifest.version >= 2) json["variants"] = manifest.variants;
  json["mean_colour"] = manifest.mean_colour;
  json["shards"] = Json::array();
  for (const ShardEntry& shard : manifest.shards) {
    Json entry;
    entry["file"] = shard.file;
    entry["rows"] = shard.rows;
    entry["bytes"] = shard.bytes;
    entry["digest"] = shard.digest;
    entry["datasets"] = shard.datasets;
    for (const auto& [name, place] : shard.places)
      entry["places"][name] = {place.offset, place.bytes};
    json["shards"].push_back(std::move(entry));
  }
  return json;
}

Json body_json(const Manifest& manifest) {
  Json json;
  json["format"] = kFormat;
  json["version"] = manifest.version;
  json["content_digest"] = manifest.content_digest();
  json.update(content_json(manifest));
  json["num_quarantined"] = manifest.num_quarantined;
  json["quarantine_digest"] = manifest.quarantine_digest;
  // Datasets of before there were such tables have none, and stay as they are.
  if (!manifest.sources_digest.empty()) json["sources_digest"] = manifest.sources_digest;
  json["options"] = Json::parse(manifest.options);
  json["identity"] = manifest.identity;
  return json;
}

void require(bool condition, const std::string& what) {
  if (!condition) throw Error(ErrorKind::kData, what);
}

// Every figure that readers use to compute addresses or sizes is checked here, once.
void check(const Manifest& m) {
  require(m.channels == 1 || m.channels == 3, "channels is neither 1 nor 3");
  require(!m.resolutions.empty(), "no resolution is listed");
  require(m.encoding == Encoding::kRaw || m.resolutions.size() == 1,
          "JPEG data with more than one resolution");
  std::set<int64_t> sides;
  for (const Resolution& r : m.resolutions) {
    require(r.height >= 1 && r.height <= kLargestSide && r.width >= 1 && r.width <= kLargestSide,
            fmt::format("impossible image size {} x {}", r.height, r.width));
    require(sides.empty() || r.shorter_side() < *sides.begin(),
            "resolutions are not listed from large to small");
    sides.insert(r.shorter_side());
  }
  require(m.label_counts.size() == m.label_names.size(),
          "labels and label_counts differ in length");
  require(m.target_kind == TargetKind::kNone || !m.label_names.empty(), "no labels are listed");
  require(m.mean_colour.size() == static_cast<size_t>(m.channels),
          "mean_colour does not have one value per channel");
  std::set<std::string> variants;
  for (const std::string& name : m.variants)
    require(!name.empty() && variants.insert(name).second &&
                std::all_of(name.begin(), name.end(),
                            [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; }),
            "variant '" + name + "' has no usable name");
  require(m.copies >= 0 && m.copies <= m.rows, "there are more copies than rows");
  int64_t rows = 0;
  for (const ShardEntry& shard : m.shards) {
    require(
        !shard.file.empty() && shard.file.find('/') == std::string::npos && shard.file[0] != '.',
        "shard '" + shard.file + "' is no plain file name");
    require(shard.rows >= 1 && shard.rows <= std::numeric_limits<int64_t>::max() - rows &&
                shard.bytes >= 1,
            "shard '" + shard.file + "' has impossible counts");
    rows += shard.rows;
    require(shard.places.empty() ||
                std::equal(shard.places.begin(), shard.places.end(), shard.datasets.begin(),
                           shard.datasets.end(),
                           [](const auto& a, const auto& b) { return a.first == b.first; }),
            "shard '" + shard.file + "' has places and digests of different datasets");
  }
  require(rows == m.rows, fmt::format("the shards hold {} rows, not {}", rows, m.rows));
}

Manifest from_json(const Json& json) {
  Manifest m;
  m.version = json.at("version").get<int64_t>();
  require(m.version >= 1, "there is no such format version");
  m.target_kind = target_kind_of(json.at("target_kind").get<std::string>());
  m.label_names = json.at("labels").get<std::vector<std::string>>();
  m.label_counts = json.at("label_counts").get<std::vector<int64_t>>();
  m.rows = json.at("rows").get<int64_t>();
  if (m.version >= 2) m.copies = json.at("copies").get<int64_t>();
  m.channels = json.at("channels").get<int64_t>();
  m.encoding = encoding_of(json.at("encoding").get<std::string>());
  for (const Json& r : json.at("resolutions"))
    m.resolutions.push_back({r.at(0).get<int64_t>(), r.at(1).get<int64_t>()});
  if (m.version >= 2) m.variants = json.at("variants").get<std::vector<std::string>>();
  m.mean_colour = json.at("mean_colour").get<std::vector<double>>();
  for (const Json& entry : json.at("shards")) {
    m.shards.push_back(
        {.file = entry.at("file").get<std::string>(),
         .rows = entry.at("rows").get<int64_t>(),
         .bytes = entry.at("bytes").get<int64_t>(),
         .digest = entry.at("digest").get<std::string>(),
         .datasets = entry.at("datasets").get<std::map<std::string, std::string>>()});
    if (!entry.contains("places")) continue;
    for (const auto& [name, place] : entry.at("places").items())
      m.shards.back().places[name] = {place.at(0).get<int64_t>(), place.at(1).get<int64_t>()};
  }
  m.num_quarantined = json.at("num_quarantined").get<int64_t>();
  m.quarantine_digest = json.at("quarantine_digest").get<std::string>();
  m.sources_digest = json.value("sources_digest", "");
  m.options = json.at("options").dump();
  m.identity = json.at("identity").get<std::string>();
  check(m);
  return m;
}

Manifest parse(const std::string& text) {
  const Json json = Json::parse(text);
  require(json.is_object() && json.value("format", "") == kFormat,
          "it does not describe a packed dataset");
  const int64_t version = json.at("version").get<int64_t>();
  if (version > Manifest::kVersion)
    throw Error(ErrorKind::kData,
                fmt::format("it is of format version {}, this program reads up to {}", version,
                            Manifest::kVersion),
                "use the Baleen that packed it, or pack the data again");
  Manifest manifest = from_json(json);
  // One text for one content: whatever differs was not written by us, be it a flipped bit or an
  // editor's space.
  require(manifest_text(manifest) == text, "it was changed after it was written");
  return manifest;
}

}  // namespace

std::string Manifest::content_digest() const { return digest_hex(content_json(*this).dump()); }

std::string payload_dataset(const Manifest& manifest, size_t payload) {
  const size_t resolution = payload % manifest.resolutions.size();
  const size_t variant = payload / manifest.resolutions.size();
  const std::string prefix = variant == 0 ? "" : manifest.variants.at(variant - 1) + "_";
  if (manifest.encoding == Encoding::kJpeg) return prefix + "jpeg";
  if (resolution == 0) return prefix + "images";
  return fmt::format("{}images_{}", prefix, manifest.resolutions[resolution].shorter_side());
}

std::string checksum_dataset(const Manifest& manifest, size_t payload) {
  return payload_dataset(manifest, payload) + "_crc32c";
}

std::string offsets_dataset(const Manifest& manifest, size_t payload) {
  return payload_dataset(manifest, payload) + "_offsets";
}

std::string manifest_text(const Manifest& manifest) {
  Json json = body_json(manifest);
  json["manifest_digest"] = digest_hex(json.dump());
  return json.dump(1) + "\n";
}

Manifest read_manifest(const std::filesystem::path& directory) {
  const std::filesystem::path file = directory / Manifest::kFileName;
  const char* hint = "pack the data again, or name a directory that baleen pack wrote";
  if (!std::filesystem::exists(file))
    throw Error(ErrorKind::kData,
                directory.string() + " is no packed dataset: it has no " + Manifest::kFileName,
                hint);
  const std::string text = read_file(file);
  try {
    return parse(text);
  } catch (const Error& error) {
    throw Error(error.kind(), file.string() + ": " + error.message(),
                error.hint().empty() ? hint : error.hint());
  } catch (const std::exception& error) {
    throw Error(ErrorKind::kData, file.string() + " is malformed: " + error.what(), hint);
  }
}

}  // namespace baleen
