#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include "core/base/error.h"
#include "core/losses/metric/embedding_output.h"
#include "core/nn/embedding_network.h"
#include "core/nn/evaluation_mode.h"
#include "core/nn/siamese_network.h"
#include "core/weights/safetensors.h"
#include "core/weights/state.h"
#include "data/prediction_table.h"
#include "distributed/device.h"
#include "experiments/chain_network.h"
#include "experiments/collective.h"
#include "experiments/gallery/feature_table.h"
#include "experiments/metric/pair_retrieval.h"
#include "experiments/weights_metadata.h"

namespace baleen {
namespace {

/// A network rebuilt from its weights file, and how images enter it.
struct Embedder {
  std::shared_ptr<Backbone> network;
  std::shared_ptr<Backbone> outputs;  ///< answers with the features
  int64_t slices = 0;                 ///< of unit length; 0: features as they are
  ImageFeedOptions image;
  TestTimeLooks looks;
  int64_t width = 0;  ///< of the features
};

int64_t width_of(Backbone& outputs, const ImageFeedOptions& image, at::Device device) {
  const at::NoGradGuard no_grad;
  const EvaluationMode evaluation(outputs);
  return outputs.forward(at::zeros({1, image.channels, image.size_px, image.size_px}).to(device))
      .size(1);
}

Embedder read_embedder(const std::filesystem::path& weights, const PackedDataset& dataset,
                       const Extensions& extensions, const EmbedOptions& options) {
  const SafetensorsFile file(weights);
  const WeightsMetadata says(file);
  BackboneOptions backbone;
  backbone.name = says.text("backbone");
  backbone.head = says.text("head");
  backbone.coordinates = says.flag("coordinates");
  backbone.num_outputs = says.number("num_outputs");
  backbone.in_channels = says.number("in_channels");
  if (backbone.in_channels != dataset.channels()) {
    throw Error(ErrorKind::kData,
                fmt::format("{} is of a network for {} channels, the images have {}", file.name(),
                            backbone.in_channels, dataset.channels()),
                "pack the images with the channels that the network was trained on");
  }
  Embedder embedder;
  embedder.network = extensions.backbones.create(backbone);
  const std::string& targets = says.text("targets");
  if (targets == "siamese")
    embedder.network = std::make_shared<SiameseNetwork>(std::move(embedder.network));
  // The auxiliary classifier, where it was trained with one, takes no part.
  load_state(*embedder.network, file.tensors(), file.name(),
             {.counters_may_be_missing = true, .allow_unexpected = says.flag("auxiliary")});
  const at::Device device = training_device(options.device);
  embedder.network->to(device);
  embedder.image.size_px = says.number("size_px");
  embedder.image.fit = says.text("fit");
  embedder.image.normalise.mean = says.numbers("mean");
  embedder.image.normalise.std = says.numbers("std");
  embedder.image.channels = backbone.in_channels;
  embedder.image.threads = options.threads;
  if (targets == "metric") embedder.slices = says.contains("slices") ? says.number("slices") : 1;
  // What was learnt for this is looked at as the run's predictions were.
  if (targets == "metric" || targets == "siamese") {
    embedder.outputs = embedder.network;
    embedder.looks = looks_of(says, extensions);
  } else {
    embedder.outputs = std::make_shared<FeatureView>(*embedder.network);
  }
  embedder.width = width_of(*embedder.outputs, embedder.image, device);
  return embedder;
}

}  // namespace

FeatureTable embed_dataset(const std::filesystem::path& weights,
                           const std::shared_ptr<const PackedDataset>& dataset,
                           const std::string& name, const Extensions& extensions,
                           const EmbedOptions& options, Communicator& group) {
  PredictionJob job;
  job.name = fmt::format("features of {} by {}", name, weights.string());
  job.dataset = sample_table(dataset);
  job.rows = dataset->originals();
  job.chunk = options.chunk;
  job.stop = options.stop;
  return with_context(
      [&] { return job.name; },
      [&] {
        const Embedder embedder =
            agreed(group, [&] { return read_embedder(weights, *dataset, extensions, options); });
        job.num_outputs = embedder.width;
        job.image = embedder.image;
        job.looks = embedder.looks;
        const PredictionTable table =
            predict_rows(*embedder.outputs, EmbeddingOutput(embedder.slices), job, group);
        return FeatureTable{name, table.ids(), table.values()};
      });
}

std::shared_ptr<const PairScores> read_pair_scores(const std::filesystem::path& weights) {
  const auto head = read_pair_head(SafetensorsFile(weights), weights.string());
  return head ? std::make_shared<const PairScores>(*head) : nullptr;
}

}  // namespace baleen
