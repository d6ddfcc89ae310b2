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

/// Reads and checks one pair of files. @throws Error kData saying what is wrong with it.
Checkpoint read_pair(const std::filesystem::path& directory, const std::string& name) {
  const std::filesystem::path json_file = directory / (name + ".json");
  const std::filesystem::path tensor_file = directory / (name + ".safetensors");
  const std::string text = read_file(json_file);
  const nlohmann::json record = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
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
  const std::string bytes = read_file(tensor_file);
  if (digest_hex(bytes) != record["digest"].get<std::string>()) {
    throw Error(ErrorKind::kData, tensor_file.string() + " does not match the digest in " +
                                      json_file.filename().string());
  }
  Checkpoint checkpoint;
  checkpoint.state = config::decode<TrainingState>(
      config::Document::parse(record["state"].dump(), json_file.string()));
  checkpoint.tensors = SafetensorsFile(tensor_file).tensors();
  return checkpoint;
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
  const std::filesystem::path tensor_file = directory_ / (name + ".safetensors");
  // The record goes first when a pair is replaced: a crash in between leaves tensors without a
  // record, which count as nothing.
  std::filesystem::remove(directory_ / (name + ".json"));
  write_safetensors(tensor_file, checkpoint.tensors);
  const nlohmann::json state = nlohmann::json::parse(config::to_json(checkpoint.state));
  nlohmann::json record;
  record["format"] = kFormatVersion;
  record["state"] = state;
  record["state_crc"] = crc32c(state.dump());
  record["digest"] = digest_hex(read_file(tensor_file));
  write_file_atomically(directory_ / (name + ".json"), record.dump(1) + "\n");
}

void CheckpointStore::save(const Checkpoint& checkpoint) {
  std::filesystem::create_directories(directory_);
  write(name_for(checkpoint.state), checkpoint);
  prune();
}

void CheckpointStore::save_best(const Checkpoint& checkpoint) {
  std::filesystem::create_directories(directory_);
  write(best_name(checkpoint.state.stage), checkpoint);
}

std::vector<std::string> CheckpointStore::names() const {
  std::vector<std::string> result;
  std::error_code missing;
  for (const auto& entry : std::filesystem::directory_iterator(directory_, missing)) {
    const std::filesystem::path& path = entry.path();
    if (path.extension() == ".json" && path.filename().string().starts_with(kPrefix)) {
      result.push_back(path.stem().string());
    }
  }
  std::sort(result.rbegin(), result.rend());
  return result;
}

void CheckpointStore::prune() const {
  const std::vector<std::string> all = names();
  for (size_t i = static_cast<size_t>(keep_last_); i < all.size(); ++i) {
    // Record first: tensors without one are never loaded.
    std::filesystem::remove(directory_ / (all[i] + ".json"));
    std::filesystem::remove(directory_ / (all[i] + ".safetensors"));
  }
}

std::optional<Checkpoint> CheckpointStore::load_latest(const std::string& identity) const {
  for (const std::string& name : names()) {
    std::optional<Checkpoint> checkpoint;
    try {
      checkpoint = read_pair(directory_, name);
    } catch (const Error& error) {
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
  if (!std::filesystem::exists(directory_ / (best_name(stage) + ".json"))) return std::nullopt;
  Checkpoint checkpoint = read_pair(directory_, best_name(stage));
  if (checkpoint.state.identity != identity) return std::nullopt;
  return checkpoint;
}

std::vector<std::string> CheckpointStore::verify(const std::filesystem::path& directory) {
  std::vector<std::string> problems;
  std::error_code missing;
  for (const auto& entry : std::filesystem::directory_iterator(directory, missing)) {
    const std::string stem = entry.path().stem().string();
    if (entry.path().extension() != ".json" ||
        !(stem.starts_with(kPrefix) || stem.starts_with("best-")))
      continue;
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
    if (name.starts_with(kPrefix) || name.starts_with("best-")) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());  // "….json" before "….safetensors" of the same name
  for (const auto& file : files) std::filesystem::remove(file);
}

}  // namespace baleen
