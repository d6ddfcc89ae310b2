#include "experiments/run_status.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "core/base/logging.h"
#include "core/base/stopwatch.h"
#include "experiments/json_error.h"

namespace baleen {
namespace {

using nlohmann::json;

constexpr int kFormat = 1;
constexpr double kRenewed_s = 2;    // at the latest
constexpr double kLeast_s = 0.5;    // between two writes that only tell of progress
constexpr double kWriteCost = 100;  // a write may cost a hundredth of the time

json to_json(const ChainStatus& c) {
  return {{"name", c.name},
          {"ranks", c.ranks},
          {"phase", c.phase},
          {"stage", c.stage},
          {"num_stages", c.num_stages},
          {"size_px", c.size_px},
          {"epoch", c.epoch},
          {"num_epochs", c.num_epochs},
          {"step", c.step},
          {"num_steps", c.num_steps},
          {"samples_per_s", finite_or_null(c.samples_per_s)},
          {"loss", finite_or_null(c.loss)},
          {"share_done", c.share_done},
          {"assigned_s", c.assigned_s},
          {"heard_s", c.heard_s}};
}

ChainStatus chain_from(const json& j) {
  ChainStatus c;
  c.name = j.at("name");
  c.ranks = j.at("ranks").get<std::vector<int>>();
  c.phase = j.value("phase", "");
  c.stage = j.at("stage");
  c.num_stages = j.at("num_stages");
  c.size_px = j.at("size_px");
  c.epoch = j.at("epoch");
  c.num_epochs = j.at("num_epochs");
  c.step = j.at("step");
  c.num_steps = j.at("num_steps");
  c.samples_per_s = number_or_nan(j.at("samples_per_s"));
  c.loss = number_or_nan(j.at("loss"));
  c.share_done = j.at("share_done");
  c.assigned_s = j.at("assigned_s");
  c.heard_s = j.at("heard_s");
  return c;
}

/// Replaces a file in one step for its readers. What a power cut leaves of it does not matter.
void replace_file(const std::filesystem::path& file, const std::string& text) {
  const std::filesystem::path fresh = temporary_path_for(file);
  {
    std::ofstream out(fresh, std::ios::binary);
    out << text;
    out.close();
    if (!out) throw Error(ErrorKind::kStorage, "can't write " + fresh.string());
  }
  std::filesystem::rename(fresh, file);
}

}  // namespace

StatusWriter::StatusWriter(std::filesystem::path file, const Plan& plan,
                           std::vector<std::string> hosts, const JournalState& journal,
                           double expected_cost)
    : file_(std::move(file)), plan_(plan), cost_(expected_cost > 0 ? expected_cost : plan.cost()) {
  status_.name = plan.name;
  status_.host = hosts.empty() ? "" : hosts.front();
  status_.process = getpid();
  status_.started_s = unix_seconds();
  status_.hosts = std::move(hosts);
  status_.num_chains = std::ssize(plan.chains);
  status_.num_finished = std::ssize(journal.finished_chains);
  for (const ChainSpec& chain : plan.chains) {
    if (journal.finished_chains.count(chain.name) > 0) {
      finished_cost_ += chain.cost;
    } else if (const int64_t epochs = epochs_done(chain, journal); epochs > 0 && chain.cost > 0) {
      left_share_[chain.index] = chain.cost_of_epochs(0, epochs, chain.logical_shards) / chain.cost;
    }
  }
  write();
  renewal_ = std::thread([this] { renew(); });
}

StatusWriter::~StatusWriter() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  ends_.notify_all();
  renewal_.join();
}

void StatusWriter::renew() {
  std::unique_lock lock(mutex_);
  const auto turn = std::chrono::duration<double>(kRenewed_s / 4);
  while (!ends_.wait_for(lock, turn, [this] { return ending_; })) write_if_older_than(kRenewed_s);
}

void StatusWriter::chain_started(const ChainSpec& chain, const std::vector<int>& members) {
  const std::lock_guard lock(mutex_);
  ChainStatus& status = in_work_[chain.index];
  status = {};
  if (const auto left = left_share_.find(chain.index); left != left_share_.end()) {
    status.share_done = left->second;
    left_share_.erase(left);
  }
  status.name = chain.name;
  status.ranks = members;
  status.num_stages = std::ssize(chain.stages);
  status.size_px = chain.stages.front().size_px;
  status.num_epochs = chain.stages.front().epochs;
  status.num_steps = chain.stages.front().steps_per_epoch;
  status.assigned_s = status.heard_s = unix_seconds();
  write();
}

void StatusWriter::chain_progress(const ChainSpec& chain, const ChainProgress& progress) {
  const std::lock_guard lock(mutex_);
  const auto found = in_work_.find(chain.index);
  if (found == in_work_.end()) return;
  ChainStatus& status = found->second;
  const StagePlan& stage = chain.stages.at(static_cast<size_t>(progress.stage));
  const bool other_phase = status.phase != progress.phase;
  status.phase = progress.phase;
  status.stage = progress.stage;
  status.size_px = stage.size_px;
  status.epoch = progress.epoch;
  status.num_epochs = stage.epochs;
  status.step = progress.step;
  status.num_steps = stage.steps_per_epoch;
  status.samples_per_s = progress.samples_per_s;
  status.loss = progress.loss;
  status.share_done = chain.share_done(progress.steps_done, progress.predicted);
  status.heard_s = unix_seconds();
  share_at_start_.try_emplace(chain.index, status.share_done);
  // Quick phases follow each other quickly.
  const double affordable_s = kWriteCost * write_s_;
  write_if_older_than(other_phase ? affordable_s : std::clamp(affordable_s, kLeast_s, kRenewed_s));
}

void StatusWriter::noticed(const Notice& notice) {
  constexpr size_t kMost = 8;
  const std::lock_guard lock(mutex_);
  if (notice.what == "slow_rank") status_.slow_ranks[notice.rank] = notice.message;
  if (notice.what == "usual_again") status_.slow_ranks.erase(notice.rank);
  status_.notices.push_back(notice.message);
  if (status_.notices.size() > kMost) status_.notices.erase(status_.notices.begin());
  write();
}

void StatusWriter::set_phase(const std::string& phase) {
  const std::lock_guard lock(mutex_);
  status_.phase = phase;
  write();
}

void StatusWriter::chain_left(const ChainSpec& chain) {
  const std::lock_guard lock(mutex_);
  leave(chain);
  write();
}

void StatusWriter::leave(const ChainSpec& chain) {
  const auto found = in_work_.find(chain.index);
  if (found == in_work_.end()) return;
  const auto first = share_at_start_.find(chain.index);
  if (first != share_at_start_.end()) {
    done_here_ += chain.cost * (found->second.share_done - first->second);
    share_at_start_.erase(first);
  }
  left_share_[chain.index] = found->second.share_done;
  in_work_.erase(found);
}

void StatusWriter::chain_dropped(const ChainSpec& chain) {
  const std::lock_guard lock(mutex_);
  const auto found = in_work_.find(chain.index);
  const auto left = left_share_.find(chain.index);
  const double share = found != in_work_.end()     ? found->second.share_done
                       : left != left_share_.end() ? left->second
                                                   : 0;
  cost_ = std::max(0.0, cost_ - chain.cost * (1 - share));
}

void StatusWriter::chain_finished(const ChainSpec& chain, const ChainOutcome&, double) {
  const std::lock_guard lock(mutex_);
  if (const auto found = in_work_.find(chain.index); found != in_work_.end())
    found->second.share_done = 1;
  leave(chain);
  left_share_.erase(chain.index);
  ++status_.num_finished;
  finished_cost_ += chain.cost;
  write();
}

void StatusWriter::chain_failed(const ChainSpec& chain, const Error& error, int, bool will_retry) {
  const std::lock_guard lock(mutex_);
  leave(chain);
  if (!will_retry) status_.set_aside[chain.name] = error.message();
  write();
}

/// What is done, and what is left at the pace of this start.
void StatusWriter::update_pace() {
  double done = finished_cost_;
  double done_here = done_here_;
  for (const auto& [index, share] : left_share_)
    done += plan_.chains[static_cast<size_t>(index)].cost * share;
  for (const auto& [index, chain] : in_work_) {
    const double cost = plan_.chains[static_cast<size_t>(index)].cost;
    done += cost * chain.share_done;
    const auto first = share_at_start_.find(index);
    if (first != share_at_start_.end()) done_here += cost * (chain.share_done - first->second);
  }
  status_.share_done = cost_ > 0 ? std::min(1.0, done / cost_) : 0;
  const double elapsed_s = seconds_since(start_);
  status_.left_s = done_here > 0 ? std::max(0.0, cost_ - done) * elapsed_s / done_here : -1;
}

void StatusWriter::write_if_older_than(double age_s) {
  if (!last_write_ || seconds_since(*last_write_) >= age_s) write();
}

void StatusWriter::write() {
  const auto time = Clock::now();
  last_write_ = time;
  update_pace();
  status_.written_s = unix_seconds();
  status_.in_work.clear();
  for (const auto& [index, chain] : in_work_) status_.in_work.push_back(chain);
  try {
    replace_file(file_, to_json_text(status_));
    write_s_ = seconds_since(time);
  } catch (const std::exception& error) {
    if (!warned_) log_warning("`baleen status` can't be kept up to date: {}", error.what());
    warned_ = true;
  }
}

std::string to_json_text(const RunStatus& s) {
  json slow_ranks = json::object();
  for (const auto& [rank, message] : s.slow_ranks) slow_ranks[std::to_string(rank)] = message;
  json in_work = json::array();
  for (const ChainStatus& chain : s.in_work) in_work.push_back(to_json(chain));
  const json j = {{"format", kFormat},
                  {"name", s.name},
                  {"host", s.host},
                  {"process", s.process},
                  {"started_s", s.started_s},
                  {"written_s", s.written_s},
                  {"phase", s.phase},
                  {"hosts", s.hosts},
                  {"num_chains", s.num_chains},
                  {"num_finished", s.num_finished},
                  {"share_done", s.share_done},
                  {"left_s", s.left_s},
                  {"in_work", in_work},
                  {"set_aside", s.set_aside},
                  {"notices", s.notices},
                  {"slow_ranks", slow_ranks}};
  return j.dump(1, ' ', false, json::error_handler_t::replace) + "\n";
}

RunStatus read_status(const std::filesystem::path& file) {
  try {
    const json j = json::parse(read_file(file));
    if (j.at("format") != kFormat)
      throw Error(ErrorKind::kData, file.string() + " was written by another version of Baleen");
    RunStatus s;
    s.name = j.at("name");
    s.host = j.at("host");
    s.process = j.at("process");
    s.started_s = j.at("started_s");
    s.written_s = j.at("written_s");
    s.hosts = j.at("hosts").get<std::vector<std::string>>();
    s.num_chains = j.at("num_chains");
    s.num_finished = j.at("num_finished");
    s.share_done = j.at("share_done");
    s.left_s = j.at("left_s");
    for (const json& chain : j.at("in_work")) s.in_work.push_back(chain_from(chain));
    s.set_aside = j.at("set_aside").get<std::map<std::string, std::string>>();
    s.phase = j.value("phase", s.phase);
    s.notices = j.value("notices", s.notices);
    if (j.contains("slow_ranks"))
      for (const auto& [rank, message] : j["slow_ranks"].items())
        s.slow_ranks[std::stoi(rank)] = message;
    return s;
  } catch (const json::exception& error) {
    throw Error(ErrorKind::kData, fmt::format("{} is damaged: {}", file.string(), error.what()),
                "a run that is under way writes it again every few seconds");
  }
}

}  // namespace baleen
