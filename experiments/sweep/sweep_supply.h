#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "experiments/chain_supply.h"
#include "experiments/sweep/prepared_sweep.h"
#include "experiments/sweep/sweep_state.h"

namespace baleen {

/// Hands a sweep's chains to the coordinator as its rules say, and journals every decision.
///
/// Grid and random release all trials at once. Halving draws a trial, or promotes one, only when a
/// rank would be idle: decisions rest on the results that are there by then, so that other numbers
/// of ranks, or another speed, may promote other trials. With early stopping by the median, first
/// folds go first.
class SweepSupply final : public ChainSupply {
 public:
  /// Takes the state from the journal. Both outlive the supply.
  SweepSupply(const PreparedSweep& sweep, Journal& journal);

  std::vector<ReleasedChain> more() override;
  bool has_more() const override;
  void heard(const JournalRecord& record) override;
  bool given_up(const ChainSpec& chain, const Error& error) override;
  std::vector<int64_t> take_dropped() override;

 private:
  void decide(JournalRecord record);
  void stop_poor_trials();
  void drop_chains(int64_t trial);
  void release(int64_t trial, std::vector<ReleasedChain>& released) const;
  int64_t urgency(int64_t trial, size_t chain) const;

  const PreparedSweep& sweep_;
  Journal& journal_;
  SweepState state_;
  bool resumed_ = false;  ///< what earlier starts left open has been released
  std::vector<int64_t> dropped_;
};

}  // namespace baleen
