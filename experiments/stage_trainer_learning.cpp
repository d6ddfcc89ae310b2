// What a task's ChainLearning asks of a stage.
#include "core/losses/metric/embedding_output.h"
#include "core/nn/embedding_network.h"
#include "experiments/collective.h"
#include "experiments/stage_trainer.h"
#include "experiments/stage_trainer_stage.h"

namespace baleen {

PredictionJob StageTrainer::prediction_job(int64_t size_px) const {
  PredictionJob job;
  job.dataset = setup_.table;
  job.num_outputs = num_outputs();
  job.chunk = setup_.recipe->prediction.chunk;
  job.image = image_options(size_px);
  job.precision = precision_from_name(setup_.recipe->training.precision);
  job.stop = [this] { return sink_.stop_requested(); };
  return job;
}

/// What the task wants to do before an epoch; one that is resumed half-way has it in its state.
void StageTrainer::begin_epoch(const Stage& stage) {
  if (!learning_ || state_.progress.next_step > 0) return;
  EpochStart start;
  start.epoch = state_.epoch;
  start.features = [&] { return training_features(stage); };
  start.outputs = [&](const std::vector<int64_t>& rows) {
    enter_phase(stage, "features");
    PredictionJob job = prediction_job(stage.plan->size_px);
    job.name = setup_.chain->name + ", training images";
    job.rows = rows;
    at::Tensor outputs = predict_rows(*network_, *loss_, job, group_).values();
    enter_phase(stage, "mine");
    return outputs;
  };
  start.stop = [this] { return sink_.stop_requested(); };
  learning_->begin_epoch(start, group_);
}

int64_t StageTrainer::num_outputs() const {
  const int64_t own = learning_ ? learning_->num_outputs() : 0;
  return own > 0 ? own : setup_.task->num_outputs();
}

std::map<std::string, double> StageTrainer::judge(const at::Tensor& predictions_NK,
                                                  const ImageFeedOptions& image) {
  if (learning_) {
    const HeldOut held_out{predictions_NK, setup_.held_out_rows,
                           [this] { return sink_.stop_requested(); }};
    if (const auto metrics = learning_->judge(held_out, group_)) return *metrics;
  }
  return setup_.task->metrics(predictions_NK, setup_.held_out_rows, image);
}

at::Tensor StageTrainer::training_features(const Stage& stage) {
  const int64_t size_px = stage.plan->size_px;
  enter_phase(stage, "features");
  FeatureView view(*network_);
  const EmbeddingOutput output(1);
  PredictionJob job = prediction_job(size_px);
  job.name = setup_.chain->name + ", features";
  job.rows = setup_.training_rows;
  job.num_outputs = feature_length(*network_);
  at::Tensor features_NF = predict_rows(view, output, job, group_).values();
  enter_phase(stage, "cluster");
  return features_NF;
}

}  // namespace baleen
