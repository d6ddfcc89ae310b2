#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "core/base/progress.h"
#include "experiments/coordinator.h"
#include "experiments/plan.h"

namespace baleen {

/// Shows the coordinator's view of a run as nested progress bars on rank 0. Lives as long as the
/// run.
class RunProgressDisplay final : public CoordinatorObserver {
 public:
  /// @param finished names of chains that need not run again
  /// @param expected_cost of what will be trained of the plan; 0: all of it
  RunProgressDisplay(const Plan& plan, const std::vector<std::string>& finished,
                     double expected_cost = 0);
  ~RunProgressDisplay() override;

  void chain_started(const ChainSpec& chain, const std::vector<int>& members) override;
  void chain_progress(const ChainSpec& chain, const ChainProgress& progress) override;
  void chain_left(const ChainSpec& chain) override;
  void chain_finished(const ChainSpec& chain, const ChainOutcome& outcome, double seconds) override;
  void chain_failed(const ChainSpec& chain, const Error& error, int rank, bool will_retry) override;

 private:
  Progress progress_;
  bool stepped_ = false;  ///< some chain has done an optimizer step since this start
  std::map<std::string, int64_t>
      first_steps_;  ///< optimizer steps each chain had when it was first heard of
};

}  // namespace baleen
