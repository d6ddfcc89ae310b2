#include "experiments/classification_chain.h"

#include "core/base/atomic_file.h"
#include "core/base/digest.h"
#include "core/base/seeds.h"
#include "core/base/stopwatch.h"
#include "core/nn/embedding_network.h"
#include "core/nn/memory_format.h"
#include "core/training/random_streams.h"
#include "core/weights/state.h"
#include "experiments/chain_network.h"
#include "experiments/collective.h"
#include "experiments/export_weights.h"
#include "experiments/label_task.h"
#include "experiments/prediction_parts.h"
#include "experiments/stage_trainer.h"
#include "experiments/step_times.h"

namespace baleen {
namespace {

/// The rows of one fold's split, in dataset order.
struct Split {
  std::vector<int64_t> training;
  std::vector<int64_t> held_out;
};

}  // namespace

ChainOutcome ClassificationChains::run(const ChainSpec& chain, Communicator& group,
                                       ProgressSink& sink) {
  return with_context(
      [&] { return "training " + chain.name; },
      [&] {
        const Recipe& recipe = *context_.recipe;
        const std::string& variant =
            recipe.backbones.at(static_cast<size_t>(chain.backbone)).variant;
        const auto dataset = context_.dataset->variant(variant);
        const ChainFiles files(context_.directory.chain(chain.name));
        const auto say = [&](const std::string& what, double limit_s = 0) {
          if (context_.set_activity) context_.set_activity(chain.name + ": " + what, limit_s);
        };
        say("starting");
        on_first_rank(group, [&] { std::filesystem::create_directories(files.directory); });

        const auto training_table = context_.training->table(context_.dataset, variant);
        Split split{
            training_rows(*context_.folds, chain.fold, *context_.task, training_table->size()),
            context_.folds->positions_in(chain.fold)};
        const SnapshotEnsemble snapshots = snapshots_of(recipe, chain, files.directory);
        StageTrainer trainer(
            StageTrainer::Setup{.recipe = &recipe,
                                .extensions = context_.extensions,
                                .chain = &chain,
                                .task = context_.task,
                                .table = training_table,
                                .training_rows = split.training,
                                .held_out_rows = split.held_out,
                                .files = files,
                                .tensorboard = context_.directory.tensorboard() / chain.name,
                                .run_name = recipe.name,
                                .identity = digest_hex(context_.plan_hash + "/" + chain.name),
                                .snapshots = snapshots.moments,
                                .metadata =
                                    [&](const ImageFeedOptions& image) {
                                      return weights_metadata(recipe, chain, *context_.task,
                                                              *dataset, image);
                                    },
                                .say = say,
                                .self = context_.self},
            group, sink);
        ChainOutcome outcome;
        const StageTrainer::Ending ending = trainer.train();
        if (ending == StageTrainer::Ending::kHandedBack) {
          say("handed back between two stages");
          outcome.handed_back = true;
          return outcome;
        }
        if (ending == StageTrainer::Ending::kPaused) {
          say("paused");
          outcome.paused = true;
          outcome.metrics = trainer.pause_metrics();
          outcome.optimizer_steps = trainer.chain_steps();
          return outcome;
        }

        outcome.optimizer_steps = trainer.chain_steps();
        outcome.stopped_early = trainer.stopped_early();
        PredictionJob job;
        job.num_outputs = trainer.num_outputs();
        job.chunk = recipe.prediction.chunk;
        job.image = trainer.image_options(chain.stages.back().size_px);
        job.precision = precision_from_name(recipe.training.precision);
        job.looks = looks_of(recipe, *context_.extensions, chain, trainer.device());
        ChainProgress where;
        where.stage = std::ssize(chain.stages) - 1;
        where.epoch = chain.stages.back().epochs;
        where.steps_done = outcome.optimizer_steps;
        where.predicted = 0;
        where.phase = "predict";
        const auto held_out_rows = static_cast<double>(split.held_out.size());
        const double all_rows =
            held_out_rows +
            (context_.test ? static_cast<double>(context_.test->originals().size()) : 0.0);
        double first_row = 0;  // of the table that is being made, among the rows of both
        Stopwatch since_begin;
        job.told = [&](double share) {
          const auto rows = static_cast<double>(job.rows.size());
          where.predicted = (first_row + share * rows) / all_rows;
          where.samples_per_s = share * rows / std::max(since_begin.elapsed_s(), 1e-9);
        };
        StepTimes times;  // of chunks
        Stopwatch since_last;
        std::string predicted;
        job.stop = [&] {
          times.add(since_last.elapsed_s(), {});
          since_last.restart();
          say("predicting the " + predicted, times.limit_s());
          sink.progress(where);
          return sink.stop_requested();
        };

        const auto note_digest = [&](const std::filesystem::path& file) {
          const std::string name =
              std::filesystem::relative(file, context_.directory.root()).string();
          outcome.digests[name] = digest_hex(read_file(file));
        };
        const auto write = [&](const PredictionTable& table, const std::filesystem::path& file) {
          table.write(file);
          note_digest(file);
        };
        const auto predict_and_keep = [&](const std::string& what,
                                          std::shared_ptr<const PackedDataset> source,
                                          std::vector<int64_t> rows,
                                          const std::filesystem::path& file) {
          job.name = chain.name + ", " + what;
          job.parts = files.directory;
          job.parts_name = file.stem().string();
          job.identity = digest_hex(context_.plan_hash + "/" + chain.name);
          predicted = what;
          since_begin.restart();
          where.samples_per_s = 0;
          say("predicting the " + what);
          sink.progress(where);
          job.dataset = sample_table(std::move(source));
          job.rows = std::move(rows);
          const auto keep_column = [&](const SnapshotMoment& moment,
                                       const PredictionTable& by_snapshot) {
            if (recipe.snapshots.columns)
              on_first_rank(group, [&] { write(by_snapshot, files.of_snapshot(file, moment)); });
          };
          const PredictionTable table =
              with_context([&] { return "predicting the " + what; },
                           [&] {
                             return predict_with_snapshots(trainer.network(), trainer.loss(), job,
                                                           snapshots, group, keep_column);
                           });
          on_first_rank(group, [&] { write(table, file); });
          return table.values();
        };
        const at::Tensor held_out =
            predict_and_keep("held-out fold", dataset, split.held_out, files.held_out());
        outcome.metrics = trainer.judge(held_out, job.image);
        first_row = held_out_rows;
        if (context_.test)
          predict_and_keep("test set", context_.test->variant(variant), context_.test->originals(),
                           files.test());

        on_first_rank(group, [&] {
          NamedTensors weights = state_of(trainer.network());
          // What a loss over embeddings has learnt for itself is of no use without it.
          std::erase_if(weights, [](const auto& entry) {
            return entry.first.starts_with(std::string(kMetricLossName) + ".");
          });
          write_safetensors(files.weights(), weights,
                            weights_metadata(recipe, chain, *context_.task, *dataset, job.image));
          note_digest(files.weights());
          for (const SnapshotMoment& moment : snapshots.moments)
            note_digest(snapshot_file(files.directory, moment));
        });
        on_first_rank(group, [&] { PredictionParts::remove_all(files.directory); });
        say("finished");
        return outcome;
      });
}

}  // namespace baleen
