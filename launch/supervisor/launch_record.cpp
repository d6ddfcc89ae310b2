#include "launch/supervisor/launch_record.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/base/logging.h"
#include "core/base/stopwatch.h"
#include "experiments/run_directory.h"

namespace baleen {

LaunchRecord::LaunchRecord(std::filesystem::path run_directory)
    : run_directory_(std::move(run_directory)) {}

void LaunchRecord::add(const std::string& event,
                       const std::map<std::string, Value>& fields) noexcept {
  try {
    nlohmann::ordered_json line;
    line["time"] = std::round(unix_seconds() * 1000) / 1000;
    line["event"] = event;
    for (const auto& [name, value] : fields) {
      if (!value.numeric) {
        line[name] = value.text;
      } else if (value.number == std::floor(value.number)) {
        line[name] = static_cast<int64_t>(value.number);
      } else {
        line[name] = value.number;
      }
    }
    kept_.push_back(line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) +
                    "\n");
  } catch (...) {
    log_line(LogLevel::kWarning, "an event of the launcher was not recorded: out of memory");
  }
  flush();
}

void LaunchRecord::flush() noexcept {
  try {
    const RunDirectory directory(run_directory_);
    if (kept_.empty() || failed_ || !std::filesystem::exists(directory.config())) return;
    if (!file_)
      file_ = std::make_unique<AppendFile>(directory.root() / "launch.jsonl",
                                           AppendFile::Sync::kEachRecord);
    for (const std::string& line : kept_) file_->append(line);
    kept_.clear();
  } catch (...) {
    failed_ = true;
    log_warning("what the launcher does is not recorded: {}", current_error().what());
  }
}

}  // namespace baleen
