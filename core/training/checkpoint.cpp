#include "core/training/checkpoint.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/base/atomic_file.h"
#include "core/base/digest.h"
#include "core/base/error.h"
#include "core/base/logging.h"
#include "core/config/decode.h"
#include "core/config/encode.h"

namespace baleen {
namespace {

constexpr int kFormatVersion = 1;
constexpr const char* kPrefix = "checkpoint-";

/// Names sort in the order of training: stage, epoch, step, all zero-padded.
std::string name_for(const TrainingState& state) {
  return fmt::format("{}s{:02}-e{:05}-i{:07}{}", kPrefix, state.stage, state.epoch,
                     state.progress.next_step, state.stage_complete ? "-end" : "");
}

std::string best_name(int64_t stage) { return fmt::format("best-s{:02}", stage); }

std::string start_name(int64_t stage, int64_t epoch) {
  return fmt::format("start-s{:02}-e{:05}", stage, epoch);
}

bool is_ours(const std::string& file) {
  return file.starts_with(kPrefix) || file.starts_with("best-") || file.starts_with("start-");
}

/// The file with a record's tensors.
std::string tensors_of(const nlohmann::json& record, const std::string& name) {
  return record.value("tensors", name + ".safetensors");
}

nlohmann::json parse_record(const std::filesystem::path& file) {
  return nlohmann::json::parse(read_file(file), nullptr, /*allow_exceptions=*/false);
}

void remove_file(const std::filesystem::path& file) {
  std::error_code failed;
  std::filesystem::remove(file, failed);
  if (failed) throw storage_error("remove", file, failed.value());
}

/// Record first: tensors without one count as nothing.
void remove_checkpoint(const std::filesystem::path& directory, const std::string& name) {
  remove_file(directory / (name + ".json"));
  remove_file(directory / (name + ".safetensors"));
  remove_file(directory / (name + ".2.safetensors"));
}

void make_directory(const std::filesystem::path& directory) {
  std::error_code failed;
  std::filesystem::create_directories(directory, failed);
  if (failed) throw storage_error("create", directory, failed.value());
}

bool is_there(const std::filesystem::path& file) {
  std::error_code failed;
  const bool there = std::filesystem::exists(file, failed);
  if (failed) throw storage_error("look for", file, failed.value());
  return there;
}

/// A record that was checked and names the file of its tensors.
nlohmann::json read_record(const std::filesystem::path& json_file, const std::string& name) {
  nlohmann::json record = parse_record(json_file);
  if (record.is_discarded() || !record.is_object() || !record.contains("state") ||
      !record.contains("digest")) {
    throw Error(ErrorKind::kData, json_file.string() + " is not a checkpoint record");
  }
  if (record.value("format", 0) != kFormatVersion) {
    throw Error(ErrorKind::kData,
                fmt::format("{} has format {}, this program reads {}", json_file.string(),
                            record.value("format", 0), kFormatVersion));
  }
  if (record.value("state_crc", uint32_t{0}) != crc32c(record["state"].dump())) {
    throw Error(ErrorKind::kData,
                json_file.string() + " was altered: its state does not match its checksum");
  }
  record["tensors"] = tensors_of(record, name);
  return record;
}

/// What such a record stands for.
Checkpoint read_checkpoint(const std::filesystem::path& directory, const nlohmann::json& record) {
  const std::filesystem::path tensor_file = directory / record["tensors"].get<std::string>();
  const std::string bytes = read_file(tensor_file);
  if (digest_hex(bytes) != record["digest"].get<std::string>()) {
    throw Error(ErrorKind::kData,
                tensor_file.string() + " does not match the digest in its record");
  }
  Checkpoint checkpoint;
  checkpoint.state = config::decode<TrainingState>(
      config::Document::parse(record["state"].dump(), "the record of " + tensor_file.string()));
  checkpoint.tensors = SafetensorsFile(tensor_file).tensors();
  checkpoint.record = record.dump();
  return checkpoint;
}

/// Reads and checks one pair of files.
/// @throws Error kData saying what is wrong with it; kStorage where it can't be read, which says
/// nothing about it.
Checkpoint read_pair(const std::filesystem::path& directory, const std::string& name) {
  const std::filesystem::path json_file = directory / (name + ".json");
  const auto malformed = [&](const std::string& what) {
    return Error(ErrorKind::kData,
                 fmt::format("{} is not a checkpoint record: {}", json_file.string(), what));
  };
  try {
    return read_checkpoint(directory, read_record(json_file, name));
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kConfiguration) throw malformed(error.message());
    throw;
  } catch (const nlohmann::json::exception& error) {
    throw malformed(error.what());
  }
}

}  // namespace

NamedTensors Checkpoint::part(const std::string& prefix) const {
  NamedTensors result;
  for (const auto& [name, tensor] : tensors) {
    if (name.size() > prefix.size() && name.starts_with(prefix) && name[prefix.size()] == '.') {
      result.emplace_back(name.substr(prefix.size() + 1), tensor);
    }
  }
  return result;
}

CheckpointStore::CheckpointStore(std::filesystem::path directory, int64_t keep_last)
    : directory_(std::move(directory)), keep_last_(std::max<int64_t>(keep_last, 1)) {}

void CheckpointStore::write(const std::string& name, const Checkpoint& checkpoint) const {
  const std::filesystem::path json_file = directory_ / (name + ".json");
  std::string tensors = name + ".safetensors";
  std::string replaced;
  if (is_there(json_file)) {
    const nlohmann::json old = parse_record(json_file);
    replaced = old.is_object() ? tensors_of(old, name) : "";
    if (replaced == tensors) tensors = name + ".2.safetensors";
  }
  const std::filesystem::path tensor_file = directory_ / tensors;
  write_safetensors(tensor_file, checkpoint.tensors);
  const nlohmann::json state = nlohmann::json::parse(config::to_json(checkpoint.state));
  nlohmann::json record;
  record["format"] = kFormatVersion;
  record["state"] = state;
  record["state_crc"] = crc32c(state.dump());
  record["tensors"] = tensors;
  record["digest"] = digest_hex(read_file(tensor_file));
  write_file_atomically(json_file, record.dump(1) + "\n");
  if (!replaced.empty()) remove_file(directory_ / replaced);
}

void CheckpointStore::save(const Checkpoint& checkpoint) {
  make_directory(directory_);
  const std::string name = name_for(checkpoint.state);
  // Only what load_latest() passed over comes after it: that must not count as one of the newest.
  for (const std::string& later : names()) {
    if (later <= name) break;
    remove_checkpoint(directory_, later);
  }
  write(name, checkpoint);
  prune();
}

void CheckpointStore::save_best(const Checkpoint& checkpoint) {
  make_directory(directory_);
  write(best_name(checkpoint.state.stage), checkpoint);
}

void CheckpointStore::save_start(const Checkpoint& checkpoint) {
  make_directory(directory_);
  write(start_name(checkpoint.state.stage, checkpoint.state.epoch), checkpoint);
}

std::optional<Checkpoint> CheckpointStore::load_start(int64_t stage, int64_t epoch,
                                                      const std::string& identity) const {
  const std::string name = start_name(stage, epoch);
  if (!is_there(directory_ / (name + ".json"))) return std::nullopt;
  try {
    Checkpoint checkpoint = read_pair(directory_, name);
    if (checkpoint.state.identity != identity) return std::nullopt;
    return checkpoint;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kData) throw;
    log_warning("{} is damaged, and there is no way back to what the epoch began with: {}", name,
                error.message());
    return std::nullopt;
  }
}

int64_t CheckpointStore::remove_after(int64_t chain_steps) {
  int64_t count = 0;
  for (const std::string& name : stems("")) {
    const nlohmann::json record = parse_record(directory_ / (name + ".json"));
    const bool readable = record.is_object() && record.contains("state");
    if (readable && record["state"].value("chain_steps", int64_t{0}) <= chain_steps) continue;
    remove_checkpoint(directory_, name);
    ++count;
  }
  return count;
}

std::vector<std::string> CheckpointStore::names() const { return stems(kPrefix); }

std::vector<std::string> CheckpointStore::stems(const std::string& prefix) const {
  std::vector<std::string> result;
  std::error_code failed;
  for (std::filesystem::directory_iterator entry(directory_, failed), end; !failed && entry != end;
       entry.increment(failed)) {
    const std::filesystem::path& path = entry->path();
    const std::string file = path.filename().string();
    if (path.extension() == ".json" && is_ours(file) && file.starts_with(prefix)) {
      result.push_back(path.stem().string());
    }
  }
  if (failed && failed != std::errc::no_such_file_or_directory)
    throw storage_error("list", directory_, failed.value());
  std::sort(result.rbegin(), result.rend());
  return result;
}

void CheckpointStore::prune() const {
  const std::vector<std::string> all = names();
  const auto num_kept = std::min(std::ssize(all), keep_last_);
  std::vector<std::string> kept(all.begin(), all.begin() + num_kept);
  const int64_t trusted = trusted_steps_;
  const auto is_trusted = [&](const std::string& name) {
    const nlohmann::json record = parse_record(directory_ / (name + ".json"));
    return record.is_object() && record.contains("state") &&
           record["state"].value("chain_steps", trusted + 1) <= trusted;
  };
  if (trusted >= 0 && std::none_of(kept.begin(), kept.end(), is_trusted)) {
    const auto older = std::find_if(all.begin() + num_kept, all.end(), is_trusted);
    if (older != all.end()) kept.push_back(*older);
  }
  for (const std::string& name : all)
    if (std::find(kept.begin(), kept.end(), name) == kept.end())
      remove_checkpoint(directory_, name);
  // Epochs before that of the oldest checkpoint are never gone back to.
  const std::string place =
      kept.back().substr(std::string(kPrefix).size(), start_name(0, 0).size() - 6);
  for (const std::string& start : stems("start-"))
    if (start.substr(6) < place) remove_checkpoint(directory_, start);
}

std::optional<Checkpoint> CheckpointStore::load_latest(const std::string& identity) const {
  for (const std::string& name : names()) {
    std::optional<Checkpoint> checkpoint;
    try {
      checkpoint = read_pair(directory_, name);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kData) throw;
      log_warning("checkpoint {} is damaged and is passed over: {}", name, error.message());
      continue;
    }
    if (checkpoint->state.identity != identity) {
      throw Error(ErrorKind::kData,
                  fmt::format("{} was written by another recipe or from other data",
                              (directory_ / name).string()),
                  "use another run directory, or remove this chain's directory to train it anew");
    }
    return checkpoint;
  }
  return std::nullopt;
}

std::optional<Checkpoint> CheckpointStore::load_best(int64_t stage,
                                                     const std::string& identity) const {
  if (!is_there(directory_ / (best_name(stage) + ".json"))) return std::nullopt;
  Checkpoint checkpoint = read_pair(directory_, best_name(stage));
  if (checkpoint.state.identity != identity) return std::nullopt;
  return checkpoint;
}

Checkpoint CheckpointStore::load(const std::string& record) const {
  return read_checkpoint(directory_, nlohmann::json::parse(record));
}

std::vector<std::string> CheckpointStore::verify(const std::filesystem::path& directory) {
  std::vector<std::string> problems;
  std::error_code missing;
  for (const auto& entry : std::filesystem::directory_iterator(directory, missing)) {
    const std::string stem = entry.path().stem().string();
    if (entry.path().extension() != ".json" || !is_ours(stem)) continue;
    try {
      read_pair(directory, stem);
    } catch (const Error& error) {
      problems.push_back(error.message());
    }
  }
  std::sort(problems.begin(), problems.end());
  return problems;
}

void CheckpointStore::remove_all() {
  std::vector<std::filesystem::path> files;
  std::error_code missing;
  for (const auto& entry : std::filesystem::directory_iterator(directory_, missing)) {
    const std::string name = entry.path().filename().string();
    if (is_ours(name)) files.push_back(entry.path());
  }
  // Records before tensors.
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) {
    return std::pair(a.extension(), a) < std::pair(b.extension(), b);
  });
  for (const auto& file : files) remove_file(file);
}

}  // namespace baleen
