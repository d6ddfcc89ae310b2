// What a task's ChainLearning asks of a stage.
#include <fmt/format.h>

#include "core/losses/metric/embedding_output.h"
#include "core/nn/embedding_network.h"
#include "experiments/stage_trainer.h"

namespace baleen {

PredictionJob StageTrainer::prediction_job(int64_t size_px) const {
  PredictionJob job;
  job.dataset = setup_.dataset;
  job.num_outputs = setup_.task->num_outputs();
  job.chunk = setup_.recipe->prediction.chunk;
  job.image = image_options(size_px);
  job.precision = precision_from_name(setup_.recipe->training.precision);
  job.stop = [this] { return sink_.stop_requested(); };
  return job;
}

/// What the task wants to do before an epoch; one that is resumed half-way has it in its state.
void StageTrainer::begin_epoch(int64_t size_px) {
  if (!learning_ || state_.progress.next_step > 0) return;
  learning_->begin_epoch(
      {.epoch = state_.epoch, .features = [&] { return training_features(size_px); }}, group_);
}

at::Tensor StageTrainer::training_features(int64_t size_px) {
  if (setup_.say) setup_.say(fmt::format("stage {}, features of all images", state_.stage), 0);
  FeatureView view(*network_);
  const EmbeddingOutput output(1);
  PredictionJob job = prediction_job(size_px);
  job.name = setup_.chain->name + ", features";
  job.rows = setup_.training_rows;
  job.num_outputs = feature_length(*network_);
  return predict_rows(view, output, job, group_).values();
}

}  // namespace baleen
