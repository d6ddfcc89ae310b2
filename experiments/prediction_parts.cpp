#include "experiments/prediction_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "core/base/logging.h"

namespace baleen {
namespace {

constexpr const char* kPrefix = "predicted-";
constexpr const char* kSuffix = ".part";

std::vector<std::filesystem::path> parts_in(const std::filesystem::path& directory,
                                            const std::string& prefix) {
  std::vector<std::filesystem::path> files;
  std::error_code missing;
  for (const auto& entry : std::filesystem::directory_iterator(directory, missing)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(prefix) && name.ends_with(kSuffix)) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

PredictionParts::PredictionParts(std::filesystem::path directory, std::string name,
                                 std::string identity)
    : directory_(std::move(directory)), name_(std::move(name)), identity_(std::move(identity)) {}

PredictionTable PredictionParts::read_all(const PredictionTable& empty) const {
  PredictionTable all = empty;
  std::unordered_set<std::string> wanted(empty.ids().begin(), empty.ids().end());
  for (const auto& file : parts_in(directory_, kPrefix + name_ + "-")) {
    try {
      const std::string bytes = read_file(file);
      const size_t line = bytes.find('\n');
      if (line == std::string::npos || bytes.substr(0, line) != identity_) continue;
      const PredictionTable part =
          PredictionTable::deserialise(std::string_view(bytes).substr(line + 1));
      // Rows that another part has, or that nobody asks for, make a part of another prediction.
      const bool fits = part.num_columns() == empty.num_columns() &&
                        std::all_of(part.ids().begin(), part.ids().end(),
                                    [&](const std::string& id) { return wanted.count(id) > 0; });
      if (!fits) continue;
      all.merge(part);
      for (const std::string& id : part.ids()) wanted.erase(id);
    } catch (const Error& error) {
      log_warning("{} is passed over: {}", file.string(), error.message());
    }
  }
  return all;
}

PredictionTable PredictionParts::load(const PredictionTable& empty, Communicator& group) const {
  if (directory_.empty()) return empty;
  if (group.size() == 1) return read_all(empty);
  std::string bytes;
  if (group.rank() == 0) bytes = read_all(empty).serialise();
  bytes = group.broadcast(bytes, 0);
  PredictionTable known = empty;
  known.merge(PredictionTable::deserialise(bytes));
  return known;
}

void PredictionParts::keep(const PredictionTable& mine, const Communicator& group, int64_t known) {
  if (directory_.empty() || mine.num_written() == 0) return;
  kept_ = Clock::now();
  write_file_atomically(directory_ / fmt::format("{}{}-{}-{}-of-{}{}", kPrefix, name_, known,
                                                 group.rank(), group.size(), kSuffix),
                        identity_ + "\n" + mine.serialise());
}

void PredictionParts::keep_now_and_then(const PredictionTable& mine, const Communicator& group,
                                        int64_t known) {
  if (std::chrono::duration<double>(Clock::now() - kept_).count() >= kInterval_s)
    keep(mine, group, known);
}

void PredictionParts::keep_if_long(const PredictionTable& mine, const Communicator& group,
                                   int64_t known) {
  if (std::chrono::duration<double>(Clock::now() - start_).count() >= kInterval_s)
    keep(mine, group, known);
}

void PredictionParts::remove_all(const std::filesystem::path& directory) {
  for (const auto& file : parts_in(directory, kPrefix)) {
    std::error_code failed;
    std::filesystem::remove(file, failed);
    if (failed) throw storage_error("remove", file, failed.value());
  }
}

}  // namespace baleen
