#include "experiments/report_timeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace baleen {
namespace {

/// A chain that is in work while the journal is read forward.
struct Open {
  std::vector<int> ranks;
  double since_s = 0;
  int64_t stage = 0;
};

class TimelineReader {
 public:
  TimelineReader(const Plan& plan, double origin_s) : origin_s_(origin_s) {
    for (const ChainSpec& chain : plan.chains) chains_[chain.name] = &chain;
  }

  void read(const JournalRecord& record) {
    using Kind = JournalRecord::Kind;
    const double now = record.time_s - origin_s_;
    switch (record.kind) {
      case Kind::kRunStarted:
        cut_off();
        break;
      case Kind::kChainAssigned:
        open_[record.name] = {record.ranks, now, first_stage(record.name)};
        break;
      case Kind::kStageFinished:
        close(record.name, now, false, record.stage);
        next_stage_[record.name] = record.stage + 1;
        break;
      case Kind::kChainPaused:
      case Kind::kChainFinished:
      case Kind::kChainFailed:
        if (const auto it = open_.find(record.name); it != open_.end()) {
          close(record.name, now, record.kind == Kind::kChainFailed, it->second.stage);
          open_.erase(record.name);
        }
        break;
      default:
        break;
    }
    last_s_ = now;
  }

  std::vector<ReportSpan> finish() {
    cut_off();
    return std::move(spans_);
  }

 private:
  int64_t first_stage(const std::string& name) const {
    const auto it = next_stage_.find(name);
    return it == next_stage_.end() ? 0 : it->second;
  }

  void close(const std::string& name, double end_s, bool failed, int64_t stage) {
    const auto it = open_.find(name);
    const auto chain = chains_.find(name);
    if (it == open_.end() || chain == chains_.end()) return;
    const ChainSpec& spec = *chain->second;
    const int64_t known =
        std::clamp<int64_t>(stage, 0, static_cast<int64_t>(spec.stages.size()) - 1);
    for (int rank : it->second.ranks) {
      spans_.push_back({rank, name, spec.backbone_label, spec.fold, known,
                        spec.stages[static_cast<size_t>(known)].size_px, it->second.since_s, end_s,
                        failed});
    }
    it->second.since_s = end_s;
    it->second.stage = stage + 1;
  }

  void cut_off() {
    for (const auto& [name, open] : std::map<std::string, Open>(open_))
      close(name, last_s_, true, open.stage);
    open_.clear();
  }

  double origin_s_;
  double last_s_ = 0;
  std::map<std::string, const ChainSpec*> chains_;
  std::map<std::string, Open> open_;
  std::map<std::string, int64_t> next_stage_;
  std::vector<ReportSpan> spans_;
};

}  // namespace

std::vector<ReportSpan> timeline_of(const JournalState& journal, const Plan& plan) {
  if (journal.records.empty()) return {};
  TimelineReader reader(plan, journal.records.front().time_s);
  for (const JournalRecord& record : journal.records) reader.read(record);
  return reader.finish();
}

std::vector<ReportMark> marks_of(const JournalState& journal) {
  std::vector<ReportMark> marks;
  for (const JournalRecord& record : journal.records) {
    if (record.kind != JournalRecord::Kind::kRunStarted) continue;
    const char* what = marks.empty() ? "started" : "resumed";
    const char* ranks = record.ranks.size() == 1 ? "rank" : "ranks";
    marks.push_back({record.time_s - journal.records.front().time_s,
                     fmt::format("{} on {} {}", what, record.ranks.size(), ranks)});
  }
  return marks;
}

double active_seconds(const JournalState& journal) {
  double total = 0;
  double start = 0;
  double last = 0;
  for (const JournalRecord& record : journal.records) {
    if (record.kind == JournalRecord::Kind::kRunStarted) {
      total += last - start;
      start = record.time_s;
    }
    last = record.time_s;
  }
  return total + last - start;
}

}  // namespace baleen
