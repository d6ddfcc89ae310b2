#include "experiments/journal.h"

#include <array>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/base/digest.h"
#include "core/base/logging.h"
#include "experiments/json_error.h"

namespace baleen {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;
using Kind = JournalRecord::Kind;

constexpr std::array<std::pair<Kind, const char*>, 13> kKinds = {{
    {Kind::kRunStarted, "run_started"},
    {Kind::kChainAssigned, "chain_assigned"},
    {Kind::kStageFinished, "stage_finished"},
    {Kind::kChainFinished, "chain_finished"},
    {Kind::kChainPaused, "chain_paused"},
    {Kind::kChainFailed, "chain_failed"},
    {Kind::kStepFinished, "step_finished"},
    {Kind::kRunFinished, "run_finished"},
    {Kind::kNotice, "notice"},
    {Kind::kTrialDrawn, "trial_drawn"},
    {Kind::kTrialPromoted, "trial_promoted"},
    {Kind::kTrialStopped, "trial_stopped"},
    {Kind::kTrialFinished, "trial_finished"},
}};

// A line ends in ,"crc":"0123abcd"} where the checksum is that of all bytes before the comma.
constexpr std::string_view kCrcKey = ",\"crc\":\"";
constexpr size_t kCrcSuffix = kCrcKey.size() + 8 + 2;

ordered_json metrics_of(const JournalRecord& r) {
  ordered_json metrics = ordered_json::object();
  for (const auto& [name, value] : r.metrics)
    metrics[name] = std::isfinite(value) ? ordered_json(value) : ordered_json();
  return metrics;
}

/// Members of records about a sweep's trials.
void put_trial(ordered_json& j, const JournalRecord& r) {
  j["trial"] = r.trial;
  switch (r.kind) {
    case Kind::kTrialDrawn:
      j["values"] = r.values;
      break;
    case Kind::kTrialPromoted:
      j["rung"] = r.rung;
      j["score"] = finite_or_null(r.score);
      break;
    case Kind::kTrialStopped:
      j["reason"] = r.reason;
      j["folds"] = r.folds;
      j["score"] = finite_or_null(r.score);
      j["median"] = finite_or_null(r.median);
      j["error"] = r.error_message;
      break;
    default:
      j["seconds"] = r.seconds;
      j["digests"] = r.digests;
      j["metrics"] = metrics_of(r);
      break;
  }
}

std::string to_line(const JournalRecord& r) {
  ordered_json j;
  j["seq"] = r.sequence;
  j["time"] = r.time_s;
  j["type"] = name_of(r.kind);
  switch (r.kind) {
    case Kind::kRunStarted:
      j["plan"] = r.plan_hash;
      j["ranks"] = r.ranks;
      j["hosts"] = r.hosts;
      break;
    case Kind::kChainAssigned:
      j["chain"] = r.name;
      j["ranks"] = r.ranks;
      break;
    case Kind::kStageFinished:
      j["chain"] = r.name;
      j["ranks"] = r.ranks;
      j["stage"] = r.stage;
      j["seconds"] = r.seconds;
      j["digests"] = r.digests;
      break;
    case Kind::kChainFinished: {
      j["chain"] = r.name;
      j["ranks"] = r.ranks;
      j["seconds"] = r.seconds;
      j["steps"] = r.optimizer_steps;
      j["digests"] = r.digests;
      j["metrics"] = metrics_of(r);
      break;
    }
    case Kind::kChainPaused:
      j["chain"] = r.name;
      j["ranks"] = r.ranks;
      j["seconds"] = r.seconds;
      j["epochs"] = r.epochs;
      j["steps"] = r.optimizer_steps;
      j["metrics"] = metrics_of(r);
      break;
    case Kind::kChainFailed:
      j["chain"] = r.name;
      j["ranks"] = r.ranks;
      j["rank"] = r.rank;
      j["error_kind"] = r.error_kind;
      j["error"] = r.error_message;
      j["set_aside"] = r.set_aside;
      break;
    case Kind::kStepFinished:
      j["step"] = r.name;
      j["seconds"] = r.seconds;
      j["digests"] = r.digests;
      break;
    case Kind::kRunFinished:
      j["exit_code"] = r.exit_code;
      break;
    case Kind::kNotice:
      j["chain"] = r.name;
      j["rank"] = r.rank;
      j["what"] = r.what;
      j["message"] = r.error_message;
      break;
    case Kind::kTrialDrawn:
    case Kind::kTrialPromoted:
    case Kind::kTrialStopped:
    case Kind::kTrialFinished:
      put_trial(j, r);
      break;
  }
  std::string text = j.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
  text.pop_back();  // the closing brace, which the suffix brings again
  return fmt::format("{}{}{:08x}\"}}\n", text, kCrcKey, crc32c(text));
}

JournalRecord from_json(const json& j) {
  JournalRecord r;
  const std::string type = j.at("type");
  const auto known = std::find_if(kKinds.begin(), kKinds.end(),
                                  [&](const auto& kind) { return type == kind.second; });
  if (known == kKinds.end()) {
    throw Error(ErrorKind::kData, fmt::format("a record of unknown type '{}'", type),
                "the run was written by a newer Baleen: go on with that one");
  }
  r.kind = known->first;
  r.sequence = j.at("seq");
  r.time_s = j.at("time");
  r.plan_hash = j.value("plan", "");
  r.name = j.contains("step") ? j["step"].get<std::string>() : j.value("chain", "");
  r.ranks = j.value("ranks", std::vector<int>{});
  r.hosts = j.value("hosts", std::vector<std::string>{});
  r.stage = j.value("stage", int64_t{0});
  r.seconds = j.value("seconds", 0.0);
  r.optimizer_steps = j.value("steps", int64_t{0});
  r.digests = j.value("digests", std::map<std::string, std::string>{});
  if (j.contains("metrics")) {
    for (const auto& [name, value] : j["metrics"].items()) r.metrics[name] = number_or_nan(value);
  }
  r.epochs = j.value("epochs", int64_t{0});
  r.trial = j.value("trial", int64_t{-1});
  r.rung = j.value("rung", int64_t{0});
  r.folds = j.value("folds", int64_t{0});
  if (j.contains("score")) r.score = number_or_nan(j["score"]);
  if (j.contains("median")) r.median = number_or_nan(j["median"]);
  r.reason = j.value("reason", "");
  r.values = j.value("values", std::map<std::string, std::string>{});
  r.rank = j.value("rank", -1);
  r.error_kind = j.value("error_kind", "");
  r.what = j.value("what", "");
  r.error_message = j.value(r.kind == Kind::kNotice ? "message" : "error", "");
  r.set_aside = j.value("set_aside", false);
  r.exit_code = j.value("exit_code", 0);
  return r;
}

/// Whether the line is whole: its checksum fits. Says nothing about its content.
bool is_intact(std::string_view line) {
  if (line.size() < kCrcSuffix + 1) return false;
  const std::string_view body = line.substr(0, line.size() - kCrcSuffix);
  return line.substr(body.size()) == fmt::format("{}{:08x}\"}}", kCrcKey, crc32c(body));
}

void apply(JournalState& state, const JournalRecord& r) {
  switch (r.kind) {
    case Kind::kRunStarted:
      state.plan_hash = r.plan_hash;
      state.complete = false;
      break;
    case Kind::kChainAssigned:
      break;
    case Kind::kStageFinished: {
      int64_t& stages = state.finished_stages[r.name];
      stages = std::max(stages, r.stage + 1);
      break;
    }
    case Kind::kChainFinished:
      state.finished_chains[r.name] = r;
      state.num_failures.erase(r.name);
      state.finished_steps.clear();  // they knew nothing of it, and are done again
      break;
    case Kind::kChainPaused:
      state.paused_epochs[r.name] = r.epochs;
      break;
    case Kind::kChainFailed:
      ++state.num_failures[r.name];
      break;
    case Kind::kStepFinished:
      state.finished_steps[r.name] = r;
      break;
    case Kind::kRunFinished:
      state.complete = r.exit_code == 0;
      break;
    case Kind::kNotice:
      break;
    case Kind::kTrialDrawn:
    case Kind::kTrialPromoted:
    case Kind::kTrialStopped:
      break;  // SweepState keeps account of them
    case Kind::kTrialFinished:
      state.finished_trials[r.trial] = r;
      break;
  }
  state.records.push_back(r);
}

struct Replay {
  JournalState state;
  size_t intact_bytes = 0;     ///< of whole records, their newlines included where there are any
  bool lacks_newline = false;  ///< the last record is whole but for its newline
};

Replay replay(const std::string& content, const std::filesystem::path& file) {
  Replay result;
  int64_t number = 0;
  for (size_t start = 0; start < content.size();) {
    ++number;
    const size_t newline = content.find('\n', start);
    const bool ended = newline != std::string::npos;
    const size_t end = ended ? newline : content.size();
    const std::string_view line(content.data() + start, end - start);
    const size_t next = ended ? newline + 1 : content.size();
    if (!is_intact(line)) {
      // Records are synced one by one, so that only the last one can be torn.
      if (next >= content.size()) return result;
      throw Error(
          ErrorKind::kData,
          fmt::format("{}:{}: damaged record: its checksum does not fit", file.string(), number),
          "the disk or another program changed the file; restore it from a backup, or start anew "
          "in another run "
          "directory");
    }
    const JournalRecord record =
        with_context([&] { return fmt::format("reading {}:{}", file.string(), number); },
                     [&]() -> JournalRecord {
                       try {
                         return from_json(json::parse(line));
                       } catch (const json::exception& error) {
                         throw Error(ErrorKind::kData,
                                     fmt::format("a record of unknown shape: {}", error.what()));
                       }
                     });
    if (record.sequence != number - 1) {
      throw Error(
          ErrorKind::kData,
          fmt::format(
              "{}:{}: record {} stands where {} is due: lines were lost, repeated or swapped",
              file.string(), number, record.sequence, number - 1),
          "restore the file from a backup, or start anew in another run directory");
    }
    apply(result.state, record);
    result.intact_bytes = next;
    result.lacks_newline = !ended;
    start = next;
  }
  return result;
}

double now_s() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration<double>(std::chrono::duration_cast<std::chrono::milliseconds>(since))
      .count();
}

}  // namespace

const char* name_of(JournalRecord::Kind kind) {
  for (const auto& [candidate, name] : kKinds) {
    if (candidate == kind) return name;
  }
  return "unknown";
}

std::vector<std::string> JournalState::finished_names() const {
  std::vector<std::string> names;
  for (const auto& [name, record] : finished_chains) names.push_back(name);
  return names;
}

Journal::Journal(std::filesystem::path file) {
  bool lacks_newline = false;
  if (std::filesystem::exists(file)) {
    const std::string content = read_file(file);
    Replay replayed = replay(content, file);
    state_ = std::move(replayed.state);
    lacks_newline = replayed.lacks_newline;
    if (replayed.intact_bytes < content.size()) {
      log_warning(
          "{}: the last record was torn by a crash ({} bytes); it is cut off and its work is done "
          "again",
          file.string(), content.size() - replayed.intact_bytes);
      std::error_code error;
      std::filesystem::resize_file(file, replayed.intact_bytes, error);
      if (error) throw storage_error("cut", file, error.value());
    }
  }
  file_ = std::make_unique<AppendFile>(std::move(file), AppendFile::Sync::kEachRecord);
  if (lacks_newline) file_->append("\n");
}

void Journal::append(JournalRecord record) {
  std::lock_guard lock(mutex_);
  record.sequence = static_cast<int64_t>(state_.records.size());
  record.time_s = now_s();
  file_->append(to_line(record));
  apply(state_, record);
}

JournalState read_journal(const std::filesystem::path& file, bool* torn) {
  const std::string content = read_file(file);
  Replay replayed = replay(content, file);
  if (torn) *torn = replayed.intact_bytes < content.size();
  return std::move(replayed.state);
}

}  // namespace baleen
