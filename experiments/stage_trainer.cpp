#include "experiments/stage_trainer.h"

#include <chrono>
#include <cmath>

#include "core/base/logging.h"
#include "core/base/memory.h"
#include "core/base/seeds.h"
#include "core/base/stopwatch.h"
#include "core/nn/batch_norm.h"
#include "core/nn/memory_format.h"
#include "core/optim/freeze.h"
#include "core/training/random_streams.h"
#include "core/weights/pretrained.h"
#include "core/weights/state.h"
#include "data/device_prefetch.h"
#include "data/weighted_sampler.h"
#include "distributed/accelerator.h"
#include "distributed/device.h"
#include "experiments/chain_network.h"
#include "experiments/chain_predictions.h"
#include "experiments/collective.h"
#include "experiments/sampling.h"
#include "experiments/stage_feed.h"
#include "experiments/stage_trainer_stage.h"

namespace baleen {
namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

StageTrainer::StageTrainer(Setup setup, Communicator& group, ProgressSink& sink)
    : setup_(std::move(setup)),
      group_(group),
      sink_(sink),
      device_(training_device(setup_.recipe->training.device)),
      checkpoints_(setup_.files.directory, setup_.recipe->training) {
  const Recipe& recipe = *setup_.recipe;
  normalisation_ = chain_normalisation(recipe, *setup_.table, setup_.training_rows,
                                       setup_.chain->stages.front().size_px);
  ChainFacts facts = chain_facts(recipe, setup_.chain->backbone, setup_.training_rows);
  facts.name = setup_.chain->name;
  facts.seed = seed_for(0);
  learning_ = setup_.task->learning(facts);
  if (recipe.training.sampling.weighs())
    sampling_weights_ =
        sampling_weights(recipe.training.sampling, *setup_.table, setup_.training_rows);
  resumed_ = checkpoints_.load_latest(setup_.identity, group_);
  state_.identity = setup_.identity;
  if (resumed_) {
    state_ = resumed_->state;
    log_info("{} resumes at stage {}, epoch {}, step {}", setup_.chain->name, state_.stage,
             state_.epoch, state_.progress.next_step);
  }
}

uint64_t StageTrainer::seed_for(int64_t stage) const {
  return stage_seed(setup_.chain->seed, setup_.chain->fold, stage);
}

ImageFeedOptions StageTrainer::image_options(int64_t size_px) const {
  return image_feed(*setup_.recipe, setup_.table->channels(), normalisation_, size_px, device_);
}

void StageTrainer::make_network(int64_t stage) {
  release_freed_memory();  // the stage before had images of another size
  const Recipe& recipe = *setup_.recipe;
  const ChainSpec& chain = *setup_.chain;
  const StageOptions& options = recipe.stages_of(chain.backbone).at(static_cast<size_t>(stage));
  loss_ = setup_.task->make_loss(setup_.extensions->losses, recipe.loss_of(options));
  seed_default_generator(at::kCPU,
                         derive_seed(static_cast<uint64_t>(chain.seed), Stream::kInitialisation,
                                     {static_cast<uint64_t>(chain.fold)}));
  const BackboneSection& section = recipe.backbones.at(static_cast<size_t>(chain.backbone));
  BackboneOptions backbone = chain_backbone(recipe, chain, *setup_.task, setup_.table->channels());
  backbone.dropout = options.dropout.value_or(chain.dropout);
  network_ = setup_.extensions->backbones.create(backbone);
  if (learning_) learning_->initialise(*network_);
  if (!resumed_ && !chain.weights.empty()) {
    const LoadReport report = load_pretrained(
        *network_, chain.weights,
        {.in_channels = backbone.in_channels, .grey_stem = grey_stem_from_name(section.grey_stem)});
    log_info("{}: {}: {}", chain.name, chain.weights, report.summary());
  }
  network_ = setup_.task->adapt(std::move(network_));
  if (learning_) network_ = learning_->adapt(std::move(network_));
  if (recipe.training.channels_last) to_channels_last(*network_);
  network_->to(device_);
  if (resumed_) load_state(*network_, resumed_->part("model"), "the checkpoint of " + chain.name);
  // All stages' rules are checked before the first is trained.
  for (const StageOptions& each : recipe.stages_of(chain.backbone))
    frozen_parameters(*network_, {each.freeze, each.unfreeze});
  const int64_t num_frozen = freeze_parameters(*network_, {options.freeze, options.unfreeze});
  if (num_frozen > 0) log_info("{}: {} weights are frozen", chain.name, num_frozen);
  if (section.batch_norm == "frozen") freeze_batch_norm_parameters(*network_);
}

StageTrainer::Ending StageTrainer::train() {
  const int64_t num_stages = static_cast<int64_t>(setup_.chain->stages.size());
  if (first_rank() && state_.stage < num_stages) {
    metrics_.emplace(setup_.files.metrics());
    tensorboard_.emplace(setup_.tensorboard, state_.chain_steps > 0
                                                 ? std::optional(state_.chain_steps + 1)
                                                 : std::nullopt);
  }
  while (state_.stage < num_stages) {
    const StageEnding ending = train_stage();
    if (ending == StageEnding::kPaused) return Ending::kPaused;
    if (ending == StageEnding::kRolledBack) continue;
    if (state_.stage < num_stages && group_.any(sink_.wanted_back(state_.stage - 1)))
      return Ending::kHandedBack;
  }
  agreed(group_, [&] { make_network(num_stages - 1); });  // with the last stage's final weights
  resumed_.reset();
  return Ending::kDone;
}

StageTrainer::StageEnding StageTrainer::train_stage() {
  const Recipe& recipe = *setup_.recipe;
  const TrainingSection& training = recipe.training;
  const auto start = Clock::now();
  metrics_of_epoch_.clear();
  Stage stage;
  stage.options = &recipe.stages_of(setup_.chain->backbone).at(static_cast<size_t>(state_.stage));
  stage.plan = &setup_.chain->stages.at(static_cast<size_t>(state_.stage));
  for (int64_t s = 0; s < state_.stage; ++s)
    stage.epochs_before += setup_.chain->stages[static_cast<size_t>(s)].epochs;

  agreed(group_, [&] {
    make_network(state_.stage);
    std::vector<ParameterGroup> groups = parameter_groups(*network_, stage.options->optimizer);
    if (learning_) {
      learning_->begin_stage({.index = state_.stage,
                              .epochs = stage.plan->epochs,
                              .epochs_before = stage.epochs_before,
                              .steps_per_epoch = stage.plan->steps_per_epoch,
                              .batch = stage.plan->batch,
                              .seed = seed_for(state_.stage)});
      if (resumed_) learning_->load(resumed_->part("learning"));
      groups = learning_->regrouped(std::move(groups));
    }
    stage.optimizer = std::make_unique<Optimizer>(std::move(groups), stage.options->optimizer);
    stage.schedule =
        std::make_unique<Schedule>(stage.options->schedule, stage.options->optimizer.lr,
                                   ScheduleSpan{stage.plan->steps_per_epoch, stage.plan->epochs});
    if (stage.options->ema.enabled)
      stage.ema = std::make_unique<Ema>(*network_, stage.options->ema);
    if (precision_from_name(training.precision) == Precision::kFloat16) {
      stage.scaler = std::make_unique<LossScaler>(LossScalerOptions{});
    }
    if (resumed_ && !resumed_->part("optimizer").empty()) {
      stage.optimizer->load(resumed_->part("optimizer"), state_.optimizer_steps);
      stage.schedule->load(state_.schedule);
      if (stage.ema) stage.ema->load(resumed_->part("ema"), state_.ema_updates);
      if (stage.scaler) stage.scaler->load(state_.scaler);
    }
    resumed_.reset();
    if (learning_) learning_->take_optimizer(*network_, *stage.optimizer);
  });
  DataParallelOptions parallel;
  parallel.num_shards = setup_.chain->logical_shards;
  parallel.fixed_tree = training.determinism == "strict";
  stage.reducer = make_data_parallel(*network_, group_, parallel);
  agreed(group_, [&] {
    const TrainingFeedOptions feed = training_feed(stage);
    stage.source = setup_.task->with_targets(
        make_training_source(setup_.table, setup_.training_rows, feed), feed);
    if (device_.is_cuda()) stage.source = prefetch_to_device(std::move(stage.source), device_);
  });
  TrainerOptions trainer_options;
  trainer_options.precision = precision_from_name(training.precision);
  trainer_options.clip_norm = training.clip_norm;
  trainer_options.on_nonfinite = training.on_nonfinite == "skip"        ? OnNonFinite::kSkip
                                 : training.on_nonfinite == "roll_back" ? OnNonFinite::kRollBack
                                                                        : OnNonFinite::kStop;
  trainer_options.lr_factor = state_.lr_factor;
  trainer_options.seed = seed_for(state_.stage);
  trainer_options.batch_norm = batch_norm_mode_from_name(
      recipe.backbones.at(static_cast<size_t>(setup_.chain->backbone)).batch_norm);
  Trainer::Parts parts{network_.get(),
                       loss_.get(),
                       stage.optimizer.get(),
                       stage.schedule.get(),
                       stage.reducer.get(),
                       stage.ema.get(),
                       stage.scaler.get(),
                       learning_ ? learning_->objective() : nullptr,
                       [this] { return sink_.stop_requested(); }};
  if (device_.is_cuda()) {
    stage.late = make_late_numbers(device_, Trainer::kLossLag + 1);
    parts.late = stage.late.get();
    parts.settle_due = [this] { return settle_due(); };
    if (training.cuda_graphs) parts.record = make_cuda_graph;
  }
  stage.trainer = std::make_unique<Trainer>(parts, trainer_options);
  stage.agreed_steps = state_.chain_steps;  // all ranks have just taken the first one's weights
  if (group_.size() > 1 && recipe.reliability.digest_every_steps > 0)
    checkpoints_.trust(stage.agreed_steps);
  bool rolled_back = false;

  const int64_t until = sink_.until_epoch();
  const auto pause_is_due = [&] {
    return until > 0 && stage.epochs_before + state_.epoch >= until;
  };
  with_context([&] { return fmt::format("stage {} ({} px)", state_.stage, stage.plan->size_px); },
               [&] {
                 while (!rolled_back && !pause_is_due() && state_.epoch < stage.plan->epochs &&
                        !state_.best.exhausted(stage.options->early_stopping)) {
                   const auto epoch_start = Clock::now();
                   remember_epoch_start(stage);
                   try {
                     begin_epoch(stage);
                   } catch (const Error& error) {
                     if (error.kind() == ErrorKind::kInterrupted) save_and_stop(stage);
                     throw;
                   }
                   try {
                     if (!train_epoch(stage)) save_and_stop(stage);
                   } catch (const NonFiniteStep& error) {
                     roll_back(stage, error);
                     rolled_back = true;
                     continue;
                   }
                   end_epoch(stage, seconds_since(epoch_start));
                   throw_if_stopping(stage);
                 }
                 if (!rolled_back && pause_is_due()) pause(stage);
               });
  if (rolled_back) return StageEnding::kRolledBack;
  if (pause_is_due()) return StageEnding::kPaused;
  finish_stage(stage);
  sink_.stage_done(state_.stage - 1, seconds_since(start), {});
  return StageEnding::kDone;
}

/// Leaves the stage between two epochs, or at its end: what follows is the same as without a pause.
void StageTrainer::pause(Stage& stage) {
  if (metrics_of_epoch_.empty()) metrics_of_epoch_ = validate(stage);
  on_first_rank(group_, [&] { checkpoints_.save_now([&] { return checkpoint(stage); }); });
  stage.reducer->close();
}

TrainingFeedOptions StageTrainer::training_feed(const Stage& stage) const {
  const Recipe& recipe = *setup_.recipe;
  TrainingFeedOptions feed = augmented_feed(recipe, *setup_.extensions, stage.options->augment,
                                            seed_for(state_.stage), device_);
  feed.batch = stage.plan->batch;
  feed.shards = stage.reducer->shards();
  feed.image = image_options(stage.plan->size_px);
  feed.shuffle = {.kind = recipe.training.shuffle, .window = recipe.training.shuffle_window};
  if (!sampling_weights_.empty()) {
    const SamplingSection& sampling = recipe.training.sampling;
    feed.epoch_samples = sampling.epoch_samples(std::ssize(setup_.training_rows));
    feed.order = [this, &sampling, count = feed.epoch_samples, seed = feed.seed](int64_t epoch) {
      return weighted_order(setup_.training_rows, sampling_weights_, count, sampling.replacement,
                            seed, epoch);
    };
  }
  if (learning_) learning_->choose_batches(feed);
  return feed;
}

/// Where losses are read late, checkpoints wait for a step after which none is unread. The step is
/// counted after it.
bool StageTrainer::settle_due() const {
  constexpr int64_t kUsually = 32;
  const int64_t every = setup_.recipe->training.checkpoint_every_steps;
  return (state_.chain_steps + 1) % (every > 0 ? every : kUsually) == 0;
}

bool StageTrainer::train_epoch(Stage& stage) {
  const int64_t first_step = state_.epoch * stage.plan->steps_per_epoch;
  const auto mark = Clock::now();
  auto step_mark = mark;
  int64_t samples = 0;
  // Where the epoch's last step was done by an earlier start.
  stage.last_lr =
      state_.lr_factor *
      stage.schedule->lr(first_step + std::max<int64_t>(state_.progress.next_step - 1, 0));
  enter_phase(stage, "train");
  const bool complete = stage.trainer->run_epoch(
      *stage.source, state_.epoch, first_step, state_.progress,
      [&](const StepReport& report, const EpochProgress& progress) {
        ++state_.chain_steps;
        samples += report.samples;
        stage.last_lr = report.lr;
        stage.samples_per_s = static_cast<double>(samples) / std::max(seconds_since(mark), 1e-9);
        stage.times.add(seconds_since(step_mark), member_times(report));
        step_mark = Clock::now();
        tell_progress(stage, "train");
        if (setup_.say) {
          setup_.say(fmt::format("training, stage {}, epoch {}, step {}", state_.stage,
                                 state_.epoch, report.step + 1),
                     stage.times.limit_s());
        }
        const int64_t every = setup_.recipe->reliability.digest_every_steps;
        if (every > 0 && state_.chain_steps % every == 0) compare_replicas(stage, false);
        if (first_rank()) keep_snapshot(stage, {}, false);
        if (first_rank() && progress.unread_steps == 0)
          checkpoints_.after_step(state_.chain_steps, [&] { return checkpoint(stage); });
        return sink_.stop_requested();
      });
  if (complete) compare_replicas(stage, true);
  return complete;
}

std::map<std::string, double> StageTrainer::validate(Stage& stage) {
  PredictionJob job = prediction_job(stage.plan->size_px);
  job.name = setup_.chain->name + ", held-out fold";
  job.rows = setup_.held_out_rows;
  std::optional<Ema::Swapped> averaged;
  if (stage.ema) averaged.emplace(*stage.ema);
  const PredictionTable table = predict_rows(*network_, *loss_, job, group_);
  return judge(table.values(), job.image);
}

void StageTrainer::end_epoch(Stage& stage, double seconds) {
  const auto validation_start = Clock::now();
  enter_phase(stage, "validate");
  try {
    metrics_of_epoch_ = validate(stage);
  } catch (const Error& error) {
    // The epoch's last step is done: a resume goes on with its validation.
    if (error.kind() == ErrorKind::kInterrupted) save_and_stop(stage);
    throw;
  }
  const std::map<std::string, double>& metrics = metrics_of_epoch_;
  const double metric = metrics.at(setup_.task->main_metric());
  const double monitored = stage.options->schedule.mode == "min" ? metrics.at("loss") : metric;
  if (stage.schedule->end_epoch(monitored))
    log_info("{}: learning rate reduced", setup_.chain->name);
  const bool best =
      state_.best.update(metric, state_.epoch, stage.options->early_stopping.min_delta);

  MetricsRecord record;
  record.run = setup_.run_name;
  record.chain = setup_.chain->name;
  record.backbone = setup_.chain->backbone_label;
  record.fold = setup_.chain->fold;
  record.stage = state_.stage;
  record.size_px = stage.plan->size_px;
  record.epoch = stage.epochs_before + state_.epoch + 1;
  record.step = state_.chain_steps;
  record.lr = stage.last_lr;
  record.train_loss = state_.progress.mean_loss();
  record.val = metrics;
  record.samples_per_s = stage.samples_per_s;
  record.seconds = seconds + seconds_since(validation_start);
  record.time_s = unix_seconds();
  log_debug("{}: stage {}, epoch {}: train loss {:.4f}, {} {:.4f}", setup_.chain->name,
            state_.stage, state_.epoch, record.train_loss, setup_.task->main_metric(), metric);

  ++state_.epoch;
  state_.progress = {};
  on_first_rank(group_, [&] {
    metrics_->append(record);
    tensorboard_->add(record);
    checkpoints_.after_epoch(best && stage.keeps_best(setup_.recipe->training),
                             [&] { return checkpoint(stage); });
  });
}

Checkpoint StageTrainer::checkpoint(const Stage& stage) const {
  Checkpoint result;
  result.state = state_;
  result.state.optimizer_steps = stage.optimizer->steps();
  result.state.schedule = stage.schedule->state();
  if (stage.scaler) result.state.scaler = stage.scaler->state();
  add_part(result.tensors, "model", state_of(*network_));
  add_part(result.tensors, "optimizer", stage.optimizer->state());
  if (learning_) add_part(result.tensors, "learning", learning_->state());
  if (stage.ema) {
    result.state.ema_updates = stage.ema->updates();
    add_part(result.tensors, "ema", stage.ema->state());
  }
  return result;
}

void StageTrainer::throw_if_stopping(const Stage& stage) {
  if (!group_.any(sink_.stop_requested())) return;
  save_and_stop(stage);
}

void StageTrainer::save_and_stop(const Stage& stage) {
  on_first_rank(group_, [&] { checkpoints_.save_now([&] { return checkpoint(stage); }); });
  throw_interrupted();
}

}  // namespace baleen
