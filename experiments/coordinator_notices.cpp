// What the coordinator tells people without stopping anything.
#include <fmt/format.h>

#include "core/base/logging.h"
#include "experiments/coordinator.h"

namespace baleen {

void Coordinator::watch_pace(const ChainSpec& chain, const Running& run,
                             const ChainProgress& progress) {
  if (progress.member_step_s.size() != run.members.size()) return;
  const StagePlan& stage = chain.stages.at(static_cast<size_t>(progress.stage));
  for (const PaceWatch::Change& change :
       pace_.observe(pace_key(chain, stage), run.members, progress.member_step_s)) {
    const std::string& host = hosts_[static_cast<size_t>(change.rank)];
    Notice told;
    told.rank = change.rank;
    if (change.slow) {
      told.what = "slow_rank";
      told.message = fmt::format(
          "rank {} on host {} is {:.1f} times slower than its peers: {:.3g} s of its own per "
          "logical shard and step instead of {:.3g} s, training {}, stage {}, epoch {}, step {}{}",
          change.rank, host, change.step_s / change.usual_s, change.step_s, change.usual_s,
          chain.name, progress.stage, progress.epoch, progress.step,
          run.members.size() > 1 ? "; the others of its group wait for it in every sum of gradients"
                                 : "");
    } else {
      told.what = "usual_again";
      told.message =
          fmt::format("rank {} on host {} keeps up with its peers again", change.rank, host);
    }
    notice(chain.name, told);
  }
}

void Coordinator::notice(const std::string& chain, const Notice& notice) {
  log_warning("{}", notice.message);
  JournalRecord record;
  record.kind = JournalRecord::Kind::kNotice;
  record.name = chain;
  record.rank = notice.rank;
  record.what = notice.what;
  record.error_message = notice.message;
  journal_.append(std::move(record));
  for (CoordinatorObserver* observer : options_.observers) observer->noticed(notice);
}

}  // namespace baleen
