#include "experiments/relabel/run_predictions.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <set>

#include "core/base/error.h"
#include "core/base/logging.h"
#include "core/nn/memory_format.h"
#include "core/weights/state.h"
#include "data/oof.h"
#include "distributed/device.h"
#include "experiments/chain_network.h"
#include "experiments/classification_chain.h"
#include "experiments/collective.h"
#include "experiments/finish_run.h"
#include "experiments/stage_feed.h"
#include "experiments/weights_metadata.h"

namespace baleen {
namespace {

PredictionTable predict_with_chain(const PreparedRun& run, const RunDirectory& directory,
                                   const ChainSpec& chain,
                                   const std::shared_ptr<const PackedDataset>& dataset,
                                   const Extensions& extensions, const std::function<bool()>& stop,
                                   Communicator& group) {
  const Recipe& recipe = run.recipe;
  const ChainFiles files(directory.chain(chain.name));
  const at::Device device = training_device(recipe.training.device);
  std::shared_ptr<Backbone> network;
  std::unique_ptr<Loss> loss;
  PredictionJob job;
  agreed(group, [&] {
    if (!std::filesystem::exists(files.weights()))
      throw Error(ErrorKind::kData,
                  fmt::format("{} has no weights of {}", directory.root().string(), chain.name),
                  "finish the run first: the command that started it goes on with it");
    const std::string& variant = recipe.backbones.at(static_cast<size_t>(chain.backbone)).variant;
    const SafetensorsFile weights(files.weights());
    const WeightsMetadata says(weights);  // the normalisation may have been measured
    network = run.task->adapt(
        extensions.backbones.create(chain_backbone(recipe, chain, *run.task, dataset->channels())));
    load_state(*network, weights.tensors(), files.weights().string());
    if (recipe.training.channels_last) to_channels_last(*network);
    network->to(device);
    loss = run.task->make_loss(extensions.losses, recipe.loss);
    job.name = chain.name;
    job.dataset = sample_table(dataset->variant(variant));
    job.rows = dataset->originals();
    job.num_outputs = run.task->num_outputs();
    job.chunk = recipe.prediction.chunk;
    job.image = image_feed(recipe, dataset->channels(), {says.numbers("mean"), says.numbers("std")},
                           chain.stages.back().size_px, device);
    job.precision = precision_from_name(recipe.training.precision);
    job.looks = looks_of(recipe, extensions, chain, device);
    job.stop = stop;
  });
  return predict_with_snapshots(*network, *loss, job, snapshots_of(recipe, chain, files.directory),
                                group, {});
}

}  // namespace

PredictionTable predict_with_run(const PreparedRun& run, const RunDirectory& directory,
                                 const std::shared_ptr<const PackedDataset>& dataset,
                                 const Extensions& extensions, const std::function<bool()>& stop,
                                 Communicator& group) {
  if (dataset->channels() != run.dataset->channels())
    throw Error(ErrorKind::kData,
                fmt::format("the images have {} channels, those of {} have {}", dataset->channels(),
                            run.recipe.dataset, run.dataset->channels()),
                "pack both alike");
  std::vector<std::string> ids;
  for (const int64_t row : dataset->originals()) ids.push_back(dataset->id(row));
  PredictionTable mean("mean of " + run.recipe.name, ids, run.task->num_outputs());
  if (run.test && run.test->digest() == dataset->digest() &&
      std::filesystem::exists(directory.oof())) {
    const OofData data = read_oof(directory.oof());
    // Without the columns of single snapshots, which are part of their networks' already.
    std::set<std::string> networks;
    for (const ChainSpec& chain : run.plan.chains) networks.insert(model_name(run.recipe, chain));
    std::vector<int64_t> columns;
    for (size_t m = 0; m < data.models.size(); ++m)
      if (networks.contains(data.models[m])) columns.push_back(static_cast<int64_t>(m));
    const at::Tensor of_networks = data.test_MTK.index_select(0, at::tensor(columns, at::kLong));
    mean.add(data.test_ids, of_networks.to(at::kDouble).mean(0).to(at::kFloat).contiguous());
    mean.check_complete();
    return mean;
  }
  at::Tensor sum;
  for (const ChainSpec& chain : run.plan.chains) {
    if (group.rank() == 0) log_info("{} predicts {} images", chain.name, ids.size());
    const PredictionTable table = with_context(
        [&] { return "predicting with " + chain.name; },
        [&] {
          return predict_with_chain(run, directory, chain, dataset, extensions, stop, group);
        });
    const at::Tensor values = table.values().to(at::kDouble);
    sum = sum.defined() ? sum + values : values;
  }
  mean.add(ids, (sum / static_cast<double>(run.plan.chains.size())).to(at::kFloat).contiguous());
  return mean;
}

}  // namespace baleen
