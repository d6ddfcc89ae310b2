#include "data/pack/pack_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/base/atomic_file.h"
#include "core/base/digest.h"
#include "core/base/error.h"
#include "core/config/encode.h"
#include "data/pack/append.h"
#include "data/pack/convert.h"

namespace baleen {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

// The digest of all that a list says beside its samples.
std::string digest_without_samples(SourceList& list) {
  std::vector<SourceSample> samples = std::exchange(list.samples, {});
  std::string digest = digest_of(list);
  list.samples = std::move(samples);
  return digest;
}

// Where the files lie, and what becomes of bad ones, decides no byte of a shard without bad ones.
std::string options_of_a_shard(PackOptions options) {
  options.images.clear();
  options.exclude_file.clear();
  options.rotate_file.clear();  // who is upside down is part of a sample's stamp
  if (!options.mask_dir.empty()) options.mask_dir = "masks";
  if (!options.boxes.file.empty()) options.boxes.file = "boxes";
  options.bad_images = "fail";
  return effective_options(options);
}

}  // namespace

std::string effective_options(PackOptions options) {
  options.output.clear();
  options.threads = 0;
  return config::to_json(options);
}

Manifest manifest_header(const PackOptions& options, const SourceList& list) {
  Manifest manifest;
  manifest.target_kind = list.target_kind;
  manifest.label_names = list.label_names;
  manifest.label_counts.resize(list.label_names.size());
  manifest.channels = options.channels;
  manifest.variants = stored_variants(options);
  manifest.encoding = options.encoding == "jpeg" ? Encoding::kJpeg : Encoding::kRaw;
  manifest.options = effective_options(options);
  return manifest;
}

std::string to_json_text(const PackPart& part) {
  Json json;
  json["target"] = part.target.string();
  json["complete"] = part.complete;
  json["reference"] = part.reference;
  json["num_samples"] = part.num_samples;
  json["num_resumed"] = part.num_resumed;
  json["resolutions"] = Json::array();
  for (const Resolution& r : part.manifest.resolutions)
    json["resolutions"].push_back({r.height, r.width});
  json["todo"] = Json::array();
  for (const PlannedShard& shard : part.todo)
    json["todo"].push_back({shard.number, shard.identity, shard.samples});
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

PackPart pack_part_from(const std::string& text, const PackOptions& options,
                        const SourceList& list) {
  const Json json = Json::parse(text);
  PackPart part;
  part.target = json.at("target").get<std::string>();
  json.at("complete").get_to(part.complete);
  json.at("reference").get_to(part.reference);
  json.at("num_samples").get_to(part.num_samples);
  json.at("num_resumed").get_to(part.num_resumed);
  part.manifest = manifest_header(options, list);
  for (const Json& r : json.at("resolutions"))
    part.manifest.resolutions.push_back({r.at(0).get<int64_t>(), r.at(1).get<int64_t>()});
  for (const Json& shard : json.at("todo"))
    part.todo.push_back({shard.at(0).get<int64_t>(), shard.at(1).get<std::string>(),
                         shard.at(2).get<std::vector<size_t>>()});
  return part;
}

PartOwner::PartOwner(const PackOptions& options, SourceList& list, Request request)
    : options_(options), request_(std::move(request)) {
  part_.target = request_.target;
  if (find_complete()) return;
  const bool exists = fs::exists(part_.target / Manifest::kFileName);
  if (!request_.append || !exists) refuse_to_replace(request_);
  output_ = std::make_unique<OutputDirectory>(part_.target);
  // Another process may have finished between the look and the lock.
  if (find_complete()) {
    output_.reset();
    return;
  }
  part_.manifest = manifest_header(options, list);
  part_.manifest.identity = request_.identity;
  if (request_.append && exists) choose_new_samples(list);
  if (part_.complete) {
    output_.reset();
    return;
  }
  find_size(list);
  plan_shards(list);
}

bool PartOwner::is_settled(const Request& request) {
  if (complete_manifest(request)) return true;
  if (request.append && fs::exists(request.target / Manifest::kFileName)) return true;
  refuse_to_replace(request);
  return false;
}

bool PartOwner::find_complete() {
  std::optional<Manifest> manifest = complete_manifest(request_);
  if (!manifest) return false;
  manifest_ = std::move(*manifest);
  part_.complete = true;
  return true;
}

// The manifest with this identity, where all its files are in place.
std::optional<Manifest> PartOwner::complete_manifest(const Request& request) {
  if (!fs::exists(request.target / Manifest::kFileName)) return std::nullopt;
  Manifest manifest;
  try {
    manifest = read_manifest(request.target);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kData) throw;
    return std::nullopt;  // damaged: packed again where that is allowed
  }
  if (manifest.identity != request.identity) return std::nullopt;
  for (const ShardEntry& shard : manifest.shards) {
    std::error_code error;
    if (fs::file_size(request.target / shard.file, error) != static_cast<uintmax_t>(shard.bytes) ||
        error)
      return std::nullopt;
  }
  return manifest;
}

void PartOwner::refuse_to_replace(const Request& request) {
  const fs::path& target = request.target;
  if (!fs::exists(target)) return;
  const bool dataset = fs::exists(target / Manifest::kFileName);
  if (!dataset && !(fs::is_directory(target) && fs::is_empty(target)))
    throw Error(ErrorKind::kConfiguration,
                target.string() + " exists and is no packed dataset: it is not replaced",
                "choose another `output`");
  if (dataset && !request.overwrite)
    throw Error(
        ErrorKind::kConfiguration,
        target.string() + " was packed with other options or from other files, or is damaged",
        "--append adds what is new in the source; --overwrite packs all of it again; or choose "
        "another `output`");
}

void PartOwner::choose_new_samples(const SourceList& list) {
  base_ = read_manifest(part_.target);
  check_appendable(options_, *base_, part_.target);
  NewSamples chosen = find_new_samples(list, request_.samples,
                                       read_source_table(part_.target, *base_), part_.target);
  request_.samples = std::move(chosen.samples);
  sources_ = std::move(chosen.kept);
  if (!request_.samples.empty()) {
    part_.manifest.resolutions = base_->resolutions;
    part_.reference = "the dataset";
    return;
  }
  manifest_ = *base_;
  part_.complete = true;
}

// Without `fit` all images must be as large as the first good one.
void PartOwner::find_size(const SourceList& list) {
  for (size_t i = 0; part_.reference.empty() && i < request_.samples.size(); ++i) {
    const ConvertedSample sample =
        convert_sample(options_, list, list.samples[request_.samples[i]]);
    if (!sample.problem.empty()) continue;
    part_.manifest.resolutions = stored_resolutions(options_, sample.height, sample.width);
    part_.reference = "'" + sample.row.id + "'";
  }
  // With not a single good image there is no size, nor any use for one.
  if (part_.reference.empty()) part_.manifest.resolutions = {{1, 1}};
}

void PartOwner::plan_shards(SourceList& list) {
  const std::vector<std::string> stamps = source_stamps(list, request_.samples);
  const Resolution& size = part_.manifest.resolutions[0];
  const std::string common =
      fmt::format("{}\n{}\n{} x {}\nversion {}\n", options_of_a_shard(options_),
                  digest_without_samples(list), size.height, size.width, Manifest::kVersion);
  if (base_)
    for (const ShardEntry& shard : base_->shards)
      first_shard_ = std::max(first_shard_, shard_number(shard.file) + 1);
  int64_t number = first_shard_;
  std::set<std::string> keep;
  const auto per_shard = static_cast<size_t>(options_.shard_samples);
  for (size_t first = 0; first < request_.samples.size(); first += per_shard, ++number) {
    PlannedShard shard{.number = number};
    std::string text = common;
    for (size_t i = first; i < std::min(first + per_shard, request_.samples.size()); ++i) {
      shard.samples.push_back(request_.samples[i]);
      text += stamps[i];
    }
    shard.identity = digest_hex(text);
    part_.num_samples += std::ssize(shard.samples);
    if (take_finished(shard)) {
      part_.num_resumed += std::ssize(shard.samples);
      const std::string file = records_.back().entry.file;
      if (records_.back().entry.rows > 0) keep.insert(file);
      keep.insert(record_file(file).string());
    } else {
      part_.todo.push_back(std::move(shard));
    }
  }
  for (size_t i = 0; i < request_.samples.size(); ++i)
    sources_.push_back({.id = list.samples[request_.samples[i]].id, .stamp = stamps[i]});
  output_->keep_only(keep);
}

// Whether an earlier start made this very shard.
bool PartOwner::take_finished(const PlannedShard& shard) {
  const fs::path file = output_->path() / shard_file_name(shard.number);
  if (!fs::exists(record_file(file))) return false;
  try {
    ShardRecord record = shard_record_from(read_file(record_file(file)));
    std::error_code error;
    if (record.identity != shard.identity || record.number != shard.number ||
        (!record.bad.empty() && options_.bad_images == "fail") ||
        (record.entry.rows > 0 &&
         fs::file_size(file, error) != static_cast<uintmax_t>(record.entry.bytes)))
      return false;
    records_.push_back(std::move(record));
    return true;
  } catch (const std::exception&) {
    return false;  // torn or of another version: made again
  }
}

void PartOwner::finish(std::vector<ShardRecord> made) {
  if (!output_) return;
  std::move(made.begin(), made.end(), std::back_inserter(records_));
  std::sort(records_.begin(), records_.end(),
            [](const ShardRecord& a, const ShardRecord& b) { return a.number < b.number; });
  manifest_ = base_ ? *base_ : part_.manifest;
  manifest_.options = part_.manifest.options;
  manifest_.identity = part_.manifest.identity;
  add_counts();
  add_sources();
  std::vector<std::string> names;
  for (const ShardRecord& record : records_)
    if (record.entry.rows > 0) names.push_back(record.entry.file);
  const auto write = [&](const std::string& name, const std::string& text) {
    write_file_atomically(output_->path() / name, text);
    names.push_back(name);
  };
  const std::string table = source_table_text(sources_);
  manifest_.sources_digest = digest_hex(table);
  write(source_table_name(manifest_.sources_digest), table);
  const std::string quarantine = quarantine_text(sources_);
  manifest_.quarantine_digest = quarantine.empty() ? "" : digest_hex(quarantine);
  if (!quarantine.empty()) write(Manifest::kQuarantineFileName, quarantine);
  write(Manifest::kFileName, manifest_text(manifest_));
  if (!base_) {
    output_->keep_only({names.begin(), names.end()});
    output_->publish();
  } else {
    output_->publish_into_target(names);
    std::error_code ignored;
    if (base_->sources_digest != manifest_.sources_digest)
      fs::remove(part_.target / source_table_name(base_->sources_digest), ignored);
    if (quarantine.empty()) fs::remove(part_.target / Manifest::kQuarantineFileName, ignored);
  }
  output_.reset();
}

void PartOwner::add_counts() {
  const Resolution& size = manifest_.resolutions[0];
  const auto pixels = [&] {
    return static_cast<double>(manifest_.rows * size.height * size.width);
  };
  // Sums of pixels are whole numbers far below 2^52, so that a mean leads back to its sum exactly.
  std::array<double, 3> sums{};
  for (size_t c = 0; c < manifest_.mean_colour.size(); ++c)
    sums[c] = std::round(manifest_.mean_colour[c] * pixels());
  for (const ShardRecord& record : records_) {
    if (record.entry.rows == 0) continue;
    manifest_.shards.push_back(record.entry);
    manifest_.rows += record.entry.rows;
    manifest_.copies += record.copies;
    num_appended_ += record.entry.rows;
    for (size_t l = 0; l < manifest_.label_counts.size(); ++l)
      manifest_.label_counts[l] += record.label_counts.at(l);
    for (size_t c = 0; c < sums.size(); ++c) sums[c] += static_cast<double>(record.channel_sums[c]);
  }
  if (manifest_.rows == 0)
    throw Error(ErrorKind::kData,
                "none of the images for " + part_.target.string() + " can be read");
  manifest_.mean_colour.clear();
  for (int64_t c = 0; c < manifest_.channels; ++c)
    manifest_.mean_colour.push_back(sums[static_cast<size_t>(c)] / pixels());
}

void PartOwner::add_sources() {
  const size_t first = sources_.size() - request_.samples.size();
  for (const ShardRecord& record : records_)
    for (size_t i = 0; i < record.bad.size(); ++i) {
      const auto position =
          (record.number - first_shard_) * options_.shard_samples + record.bad_positions.at(i);
      PackedSource& source = sources_.at(first + static_cast<size_t>(position));
      source.file = record.bad[i].file.string();
      source.reason = record.bad[i].reason;
      bad_.push_back({source.id, record.bad[i].file, source.reason});
    }
  manifest_.num_quarantined =
      std::count_if(sources_.begin(), sources_.end(),
                    [](const PackedSource& source) { return !source.reason.empty(); });
}

}  // namespace baleen
