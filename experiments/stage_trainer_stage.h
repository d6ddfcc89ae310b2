#pragma once

// What StageTrainer keeps while it trains one stage; included by its own files only.

#include <memory>
#include <string>

#include "core/optim/ema.h"
#include "core/optim/loss_scaler.h"
#include "core/optim/optimizer.h"
#include "core/optim/schedule.h"
#include "core/training/trainer.h"
#include "distributed/data_parallel.h"
#include "experiments/stage_trainer.h"
#include "experiments/step_times.h"

namespace baleen {

/// What lives as long as one stage.
struct StageTrainer::Stage {
  const StageOptions* options = nullptr;
  const StagePlan* plan = nullptr;
  std::unique_ptr<Optimizer> optimizer;
  std::unique_ptr<Schedule> schedule;
  std::unique_ptr<Ema> ema;
  std::unique_ptr<LossScaler> scaler;
  std::unique_ptr<DataParallel> reducer;
  std::unique_ptr<BatchSource> source;
  std::unique_ptr<LateNumbers> late;  ///< null: losses are read at once
  std::unique_ptr<Trainer> trainer;
  int64_t epochs_before = 0;  ///< of earlier stages, as planned
  double last_lr = 0;
  double samples_per_s = 0;
  StepTimes times;
  int64_t agreed_steps = 0;  ///< steps of the chain after which all ranks held the same weights

  bool keeps_best(const TrainingSection& training) const {
    return training.keep_best ||
           (options->early_stopping.patience > 0 && options->early_stopping.restore_best);
  }
};

/// Adds tensors of a checkpoint's part under "prefix.name".
inline void add_part(NamedTensors& to, const std::string& prefix, const NamedTensors& part) {
  for (const auto& [name, tensor] : part) to.emplace_back(prefix + "." + name, tensor);
}

}  // namespace baleen
