#include "experiments/coordinator_messages.h"

#include <fmt/format.h>
#include <array>
#include <nlohmann/json.hpp>

#include "experiments/json_error.h"

namespace baleen {
namespace {

using nlohmann::json;

template <class Kind, size_t N>
Kind kind_from(const std::array<std::pair<Kind, const char*>, N>& names, const std::string& name) {
  for (const auto& [kind, text] : names) {
    if (name == text) return kind;
  }
  throw Error(ErrorKind::kInternal, fmt::format("a control message of unknown kind '{}'", name));
}

template <class Kind, size_t N>
const char* name_in(const std::array<std::pair<Kind, const char*>, N>& names, Kind kind) {
  for (const auto& [candidate, text] : names) {
    if (candidate == kind) return text;
  }
  return "unknown";
}

using WorkerKind = WorkerMessage::Kind;
constexpr std::array<std::pair<WorkerKind, const char*>, 11> kWorkerKinds = {{
    {WorkerKind::kIdle, "idle"},
    {WorkerKind::kProgress, "progress"},
    {WorkerKind::kStageDone, "stage_done"},
    {WorkerKind::kAsksBetweenStages, "asks_between_stages"},
    {WorkerKind::kHandedBack, "handed_back"},
    {WorkerKind::kPaused, "paused"},
    {WorkerKind::kChainDone, "chain_done"},
    {WorkerKind::kChainFailed, "chain_failed"},
    {WorkerKind::kInterrupted, "interrupted"},
    {WorkerKind::kFatal, "fatal"},
    {WorkerKind::kNotice, "notice"},
}};

using CoordinatorKind = CoordinatorMessage::Kind;
constexpr std::array<std::pair<CoordinatorKind, const char*>, 2> kCoordinatorKinds = {{
    {CoordinatorKind::kAssign, "assign"},
    {CoordinatorKind::kFinish, "finish"},
}};

json to_json(const ChainProgress& p) {
  return {{"stage", p.stage},
          {"epoch", p.epoch},
          {"step", p.step},
          {"steps_done", p.steps_done},
          {"samples_per_s", finite_or_null(p.samples_per_s)},
          {"loss", finite_or_null(p.loss)},
          {"predicted", p.predicted},
          {"phase", p.phase},
          {"member_step_s", p.member_step_s}};
}

ChainProgress progress_from(const json& j) {
  ChainProgress p;
  p.stage = j.at("stage");
  p.epoch = j.at("epoch");
  p.step = j.at("step");
  p.steps_done = j.at("steps_done");
  p.samples_per_s = number_or_nan(j.at("samples_per_s"));
  p.loss = number_or_nan(j.at("loss"));
  p.predicted = j.at("predicted");
  p.phase = j.at("phase");
  p.member_step_s = j.at("member_step_s").get<std::vector<double>>();
  return p;
}

json to_json(const ChainOutcome& o) {
  json metrics = json::object();
  for (const auto& [name, value] : o.metrics) metrics[name] = finite_or_null(value);
  return {{"digests", o.digests},
          {"metrics", metrics},
          {"optimizer_steps", o.optimizer_steps},
          {"stopped_early", o.stopped_early}};
}

ChainOutcome outcome_from(const json& j) {
  ChainOutcome o;
  o.digests = j.at("digests").get<std::map<std::string, std::string>>();
  for (const auto& [name, value] : j.at("metrics").items()) o.metrics[name] = number_or_nan(value);
  o.optimizer_steps = j.at("optimizer_steps");
  o.stopped_early = j.at("stopped_early");
  return o;
}

json to_json(const RunSummary& s) {
  json failed = json::array();
  for (const FailedChain& chain : s.failed) {
    failed.push_back({{"chain", chain.chain},
                      {"error", error_to_json(chain.error)},
                      {"rank", chain.rank},
                      {"host", chain.host}});
  }
  return {{"exit_code", s.exit_code},
          {"interrupted", s.interrupted},
          {"cut_short", s.cut_short},
          {"num_finished", s.num_finished},
          {"num_known", s.num_known},
          {"failed", failed},
          {"fatal", s.fatal ? error_to_json(*s.fatal) : json()},
          {"fatal_rank", s.fatal_rank}};
}

RunSummary summary_from(const json& j) {
  RunSummary s;
  s.exit_code = j.at("exit_code");
  s.interrupted = j.at("interrupted");
  s.cut_short = j.at("cut_short");
  s.num_finished = j.at("num_finished");
  s.num_known = j.at("num_known");
  for (const json& chain : j.at("failed")) {
    s.failed.push_back({chain.at("chain"), error_from_json(chain.at("error")), chain.at("rank"),
                        chain.at("host")});
  }
  if (!j.at("fatal").is_null()) s.fatal = error_from_json(j.at("fatal"));
  s.fatal_rank = j.at("fatal_rank");
  return s;
}

/// Parses and turns the library's exceptions into ours.
template <class Read>
auto parse(const std::string& text, Read&& read) {
  try {
    return read(json::parse(text));
  } catch (const json::exception& error) {
    throw Error(
        ErrorKind::kInternal,
        fmt::format("a control message that can't be read ({}): {:.200}", error.what(), text));
  }
}

// Messages may carry file names, and those may hold any bytes: replaced instead of refused.
std::string dump(const json& j) { return j.dump(-1, ' ', false, json::error_handler_t::replace); }

}  // namespace

std::string encode(const WorkerMessage& m) {
  json j = {{"kind", name_in(kWorkerKinds, m.kind)}, {"chain", m.chain}};
  switch (m.kind) {
    case WorkerKind::kIdle:
      j["host"] = m.host;
      break;
    case WorkerKind::kProgress:
      j["progress"] = to_json(m.progress);
      break;
    case WorkerKind::kStageDone:
      j["stage"] = m.stage;
      j["seconds"] = m.seconds;
      j["digests"] = m.digests;
      break;
    case WorkerKind::kPaused:
    case WorkerKind::kChainDone:
      j["seconds"] = m.seconds;
      j["outcome"] = to_json(m.outcome);
      break;
    case WorkerKind::kChainFailed:
    case WorkerKind::kFatal:
      j["error"] = m.error ? error_to_json(*m.error) : json();
      j["ends_run"] = m.ends_run;
      break;
    case WorkerKind::kNotice:
      j["what"] = m.notice.what;
      j["message"] = m.notice.message;
      j["rank"] = m.notice.rank;
      break;
    case WorkerKind::kAsksBetweenStages:
      j["stage"] = m.stage;
      break;
    case WorkerKind::kHandedBack:
    case WorkerKind::kInterrupted:
      break;
  }
  return dump(j);
}

WorkerMessage decode_worker_message(const std::string& text) {
  return parse(text, [](const json& j) {
    WorkerMessage m;
    m.kind = kind_from(kWorkerKinds, j.at("kind").get<std::string>());
    m.chain = j.at("chain");
    m.host = j.value("host", "");
    m.stage = j.value("stage", int64_t{0});
    m.seconds = j.value("seconds", 0.0);
    if (j.contains("progress")) m.progress = progress_from(j["progress"]);
    if (j.contains("outcome")) m.outcome = outcome_from(j["outcome"]);
    if (j.contains("digests")) m.digests = j["digests"].get<std::map<std::string, std::string>>();
    m.ends_run = j.value("ends_run", false);
    m.notice = {j.value("what", ""), j.value("message", ""), j.value("rank", -1)};
    if (j.contains("error") && !j["error"].is_null()) m.error = error_from_json(j["error"]);
    return m;
  });
}

std::string encode(const CoordinatorMessage& m) {
  json j = {{"kind", name_in(kCoordinatorKinds, m.kind)}};
  if (m.kind == CoordinatorKind::kAssign) {
    j["chain"] = m.chain;
    j["members"] = m.members;
    j["until_epoch"] = m.until_epoch;
    j["group_tag"] = m.group_tag;
  } else {
    j["summary"] = to_json(m.summary);
  }
  return dump(j);
}

CoordinatorMessage decode_coordinator_message(const std::string& text) {
  return parse(text, [](const json& j) {
    CoordinatorMessage m;
    m.kind = kind_from(kCoordinatorKinds, j.at("kind").get<std::string>());
    if (m.kind == CoordinatorKind::kAssign) {
      m.chain = j.at("chain");
      m.members = j.at("members").get<std::vector<int>>();
      m.until_epoch = j.at("until_epoch");
      m.group_tag = j.at("group_tag");
    } else {
      m.summary = summary_from(j.at("summary"));
    }
    return m;
  });
}

}  // namespace baleen
