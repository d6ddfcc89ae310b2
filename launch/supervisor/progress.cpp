#include "launch/supervisor/progress.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "experiments/run_directory.h"

namespace baleen {
namespace {

namespace fs = std::filesystem;

/// Records of starts and assignments say nothing of progress; run_finished is written by failed
/// starts, too. A chain is paused at the end of a sweep's rung.
bool says_finished(const std::string& line) {
  const auto record = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!record.is_object() || !record.contains("type") || !record["type"].is_string()) return false;
  const std::string type = record["type"];
  return (type.ends_with("_finished") && type != "run_finished") || type == "chain_paused";
}

std::string newest_checkpoint(const fs::path& folder) {
  std::string newest;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename();
    if (name.starts_with("checkpoint-") && name.ends_with(".json") && name > newest) newest = name;
  }
  return newest;
}

}  // namespace

bool ProgressMark::is_beyond(const ProgressMark& earlier) const {
  if (finished > earlier.finished) return true;
  for (const auto& [chain, name] : checkpoints) {
    const auto before = earlier.checkpoints.find(chain);
    if (before == earlier.checkpoints.end() || name > before->second) return true;
  }
  return false;
}

ProgressMark read_progress(const fs::path& run_directory) {
  const RunDirectory directory(run_directory);
  ProgressMark mark;
  std::ifstream journal(directory.journal());
  for (std::string line; std::getline(journal, line);) mark.finished += says_finished(line) ? 1 : 0;
  std::error_code ignored;
  for (const fs::path& chains : chain_folders(directory, ignored)) {
    for (const auto& chain : fs::directory_iterator(chains, ignored)) {
      std::string newest = newest_checkpoint(chain.path());
      if (!newest.empty())
        mark.checkpoints[chain.path().lexically_relative(run_directory)] = std::move(newest);
    }
  }
  return mark;
}

}  // namespace baleen
