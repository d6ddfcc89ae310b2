#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "core/base/error.h"
#include "core/base/format.h"
#include "core/base/host_name.h"
#include "core/base/lock_file.h"
#include "experiments/failure.h"
#include "experiments/journal.h"
#include "experiments/run_status.h"
#include "experiments/sweep/sweep_outline.h"

namespace baleen {
namespace {

// A run under way renews its status every other second.
constexpr double kGone_s = 10;    // without a lock either: on any host
constexpr double kSilent_s = 20;  // with the lock still held

class Table {
 public:
  explicit Table(std::vector<std::string> head) { add(std::move(head)); }
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }

  std::string text() const {
    std::string text;
    for (const std::vector<std::string>& row : rows_) {
      std::string line;
      for (size_t c = 0; c < row.size(); ++c)
        line += fmt::format("{:<{}}", row[c], c + 1 < row.size() ? width(c) + 2 : 0);
      text += "  " + line + "\n";
    }
    return text;
  }

 private:
  size_t width(size_t column) const {
    size_t width = 0;
    for (const std::vector<std::string>& row : rows_) width = std::max(width, row[column].size());
    return width;
  }

  std::vector<std::vector<std::string>> rows_;
};

std::string chains_of(int64_t finished, int64_t all) {
  return fmt::format("{} of {} chain{} finished", finished, all, all == 1 ? "" : "s");
}

/// How the last start of a run stands, by its journal.
struct LastStart {
  bool started = false;
  bool ended = false;
  int exit_code = 0;
  double time_s = 0;  ///< of the last record
};

LastStart last_start(const JournalState& journal) {
  LastStart last;
  for (const JournalRecord& record : journal.records) {
    last.time_s = record.time_s;
    if (record.kind == JournalRecord::Kind::kRunStarted) {
      last.started = true;
      last.ended = false;
    } else if (record.kind == JournalRecord::Kind::kRunFinished) {
      last.ended = true;
      last.exit_code = record.exit_code;
    }
  }
  return last;
}

std::string ending(const LastStart& last, double now_s) {
  const std::string ago = format_duration(std::max(0.0, now_s - last.time_s)) + " ago";
  if (last.exit_code == 0) return "complete, since " + ago;
  if (last.exit_code == exit_code(ErrorKind::kInterrupted))
    return fmt::format("interrupted {}: the same command goes on from here", ago);
  return fmt::format("ended {} with exit code {}: the same command goes on", ago, last.exit_code);
}

std::string rank_table(const RunStatus& status, double now_s) {
  std::map<int, const ChainStatus*> work;
  for (const ChainStatus& chain : status.in_work) {
    for (int rank : chain.ranks) work[rank] = &chain;
  }
  Table table({"rank", "host", "chain", "stage", "phase", "epoch", "step", "done", "images/s",
               "loss", "last heard"});
  for (int rank = 0; rank < static_cast<int>(status.hosts.size()); ++rank) {
    const std::string& host = status.hosts[static_cast<size_t>(rank)];
    const auto found = work.find(rank);
    if (found == work.end()) {
      table.add({std::to_string(rank), host, "idle", "", "", "", "", "", "", "", ""});
      continue;
    }
    const ChainStatus& chain = *found->second;
    const bool leads = rank == chain.ranks.front();
    const bool trains = chain.phase != "predict";
    const auto led = [&](std::string text) { return leads ? std::move(text) : std::string(); };
    table.add({std::to_string(rank), host, chain.name,
               led(fmt::format("{}/{}, {} px", chain.stage + 1, chain.num_stages, chain.size_px)),
               led(chain.phase.empty() ? "start" : chain.phase),
               led(trains ? fmt::format("{}/{}", std::min(chain.epoch + 1, chain.num_epochs),
                                        chain.num_epochs)
                          : "-"),
               led(trains ? fmt::format("{}/{}", chain.step, chain.num_steps) : "-"),
               led(fmt::format("{:.0f} %", 100 * chain.share_done)),
               led(chain.samples_per_s > 0 ? fmt::format("{:.1f}", chain.samples_per_s) : "-"),
               led(chain.step > 0 && trains ? fmt::format("{:.4f}", chain.loss) : "-"),
               led(format_duration(std::max(0.0, now_s - chain.heard_s)) + " ago")});
  }
  return table.text();
}

/// Of this start; an older failure.json was put aside when it began.
std::string cause_of_end(const RunDirectory& directory) {
  const std::optional<RootCause> cause = read_root_cause(directory.failure());
  if (!cause) return "";
  return fmt::format("  {}\n{}", cause->describe(),
                     cause->hint.empty() ? "" : "  hint: " + cause->hint + "\n");
}

/// How a start that has not ended in good order stands.
std::string current_state(const RunDirectory& directory, const RunStatus& status, double now_s) {
  const double silent_s = now_s - status.written_s;
  const std::string silence = format_duration(std::max(0.0, silent_s));
  if (!is_locked(directory.lock()) && (status.host == host_name() || silent_s > kGone_s)) {
    return fmt::format(
               "  not under way: its processes ended {} ago without a word, killed or with their "
               "host; the same command goes on\n",
               silence) +
           cause_of_end(directory);
  }
  if (silent_s > kSilent_s) {
    return fmt::format(
               "  no word for {} from rank 0 (process {} on {}): it is stopped, or its host or "
               "file system does not answer\n",
               silence, status.process, status.host) +
           rank_table(status, now_s);
  }
  std::string text = fmt::format(
      "  under way for {} on {} rank{}, {}\n", format_duration(now_s - status.started_s),
      status.hosts.size(), status.hosts.size() == 1 ? "" : "s",
      status.phase != "chains" ? (status.set_aside.empty() ? "all chains are finished: "
                                                           : "no chain is left to train: ") +
                                     status.phase
      : status.left_s < 0 ? "unknown time left"
                          : format_duration(status.left_s) + " left");
  return status.phase != "chains" ? text : text + rank_table(status, now_s);
}

std::string failures(const RunStatus& status, const JournalState& journal) {
  std::string text;
  for (const std::string& notice : status.notices) text += "  " + notice + "\n";
  for (const auto& [chain, reason] : status.set_aside)
    text += fmt::format("  {} was set aside: {}\n", chain, reason);
  for (const auto& [chain, count] : journal.num_failures) {
    if (count > 0 && status.set_aside.count(chain) == 0 &&
        journal.finished_chains.count(chain) == 0)
      text +=
          fmt::format("  {} has failed {} time{} so far\n", chain, count, count == 1 ? "" : "s");
  }
  return text;
}

/// Of a sweep: its trials, the best first.
std::string trials_of(const RunDirectory& directory, const JournalState& journal) {
  constexpr size_t kMostShown = 12;
  if (!std::filesystem::exists(directory.sweep())) return "";
  const SweepOutline outline = read_outline(directory.sweep());
  return describe_results(outline, results_of(outline, journal), kMostShown);
}

}  // namespace

std::string describe_run(const RunDirectory& directory, double now_s) {
  if (!std::filesystem::exists(directory.journal()))
    throw Error(ErrorKind::kData, directory.root().string() + " holds no run",
                "name the run directory: runs/<name>, unless the recipe says otherwise");
  const JournalState journal = read_journal(directory.journal());
  const LastStart last = last_start(journal);
  const std::string root = directory.root().string();
  if (!last.started) return root + ": made, but never started\n";
  if (!std::filesystem::exists(directory.status())) {
    return fmt::format("{}: {} chains finished; {}\n", root, journal.finished_chains.size(),
                       last.ended ? ending(last, now_s) : "in its first moments, or killed then");
  }
  const RunStatus status = read_status(directory.status());
  const std::string text = fmt::format(
      "{}: {}, {:.0f} % of the work\n", root,
      chains_of(std::ssize(journal.finished_chains), status.num_chains), 100 * status.share_done);
  const std::string trials = trials_of(directory, journal);
  if (last.ended)
    return text + "  " + ending(last, now_s) + "\n" +
           (last.exit_code == 0 || last.exit_code == exit_code(ErrorKind::kInterrupted)
                ? ""
                : cause_of_end(directory)) +
           failures(status, journal) + trials;
  return text + current_state(directory, status, now_s) + failures(status, journal) + trials;
}

}  // namespace baleen
