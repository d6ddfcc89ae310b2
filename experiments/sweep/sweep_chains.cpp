#include "experiments/sweep/sweep_chains.h"

namespace baleen {

ChainOutcome SweepChains::run(const ChainSpec& chain, Communicator& group, ProgressSink& sink) {
  const int64_t number = sweep_->trial_of_chain.at(static_cast<size_t>(chain.index));
  const PreparedTrial& trial = sweep_->trials.at(static_cast<size_t>(number));
  return with_context(
      [&] {
        return fmt::format("trial {} ({})", trial.trial->name,
                           describe_values(*sweep_->spec, *trial.trial));
      },
      [&] {
        ChainContext context = context_;
        context.recipe = &trial.trial->recipe;
        context.task = trial.data->task.get();
        context.dataset = trial.data->dataset;
        context.test = trial.data->test;
        context.training = &trial.data->training;
        context.folds = &trial.data->folds;
        context.plan_hash = trial.plan.hash;
        return make_executor_(std::move(context))->run(chain, group, sink);
      });
}

}  // namespace baleen
