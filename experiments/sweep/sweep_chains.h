#pragma once

#include <functional>
#include <memory>

#include "experiments/chain_executor.h"
#include "experiments/classification_chain.h"
#include "experiments/sweep/prepared_sweep.h"

namespace baleen {

/// Trains chains of a sweep's plan: each with its trial's recipe and data, by an executor such as
/// an ordinary run has.
class SweepChains final : public ChainExecutor {
 public:
  using MakeExecutor = std::function<std::unique_ptr<ChainExecutor>(ChainContext)>;

  /// @param context of which recipe, task, data, folds and plan hash are replaced by the trial's
  SweepChains(std::shared_ptr<const PreparedSweep> sweep, ChainContext context,
              MakeExecutor make_executor)
      : sweep_(std::move(sweep)),
        context_(std::move(context)),
        make_executor_(std::move(make_executor)) {}
  ChainOutcome run(const ChainSpec& chain, Communicator& group, ProgressSink& sink) override;

 private:
  std::shared_ptr<const PreparedSweep> sweep_;
  ChainContext context_;
  MakeExecutor make_executor_;
};

}  // namespace baleen
