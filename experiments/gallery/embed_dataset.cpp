#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include "core/base/error.h"
#include "core/losses/metric/slices.h"
#include "core/nn/evaluation_mode.h"
#include "core/nn/siamese_network.h"
#include "core/weights/safetensors.h"
#include "core/weights/state.h"
#include "data/loader.h"
#include "data/prediction_table.h"
#include "distributed/device.h"
#include "experiments/collective.h"
#include "experiments/gallery/feature_table.h"
#include "experiments/metric/pair_retrieval.h"
#include "experiments/weights_metadata.h"

namespace baleen {
namespace {

/// A network rebuilt from its weights file, and how images enter it.
class Embedder {
 public:
  Embedder(const std::filesystem::path& weights, const PackedDataset& dataset,
           const Extensions& extensions, const EmbedOptions& options) {
    const SafetensorsFile file(weights);
    const WeightsMetadata says(file);
    BackboneOptions backbone;
    backbone.name = says.text("backbone");
    backbone.head = says.text("head");
    backbone.coordinates = says.flag("coordinates");
    backbone.coordinate_radius = says.flag("coordinate_radius");
    backbone.num_outputs = says.number("num_outputs");
    backbone.in_channels = says.number("in_channels");
    if (backbone.in_channels != dataset.channels()) {
      throw Error(ErrorKind::kData,
                  fmt::format("{} is of a network for {} channels, the images have {}", file.name(),
                              backbone.in_channels, dataset.channels()),
                  "pack the images with the channels that the network was trained on");
    }
    network_ = extensions.backbones.create(backbone);
    if (says.text("targets") == "siamese")
      network_ = std::make_shared<SiameseNetwork>(std::move(network_));
    // The auxiliary classifier, where it was trained with one, takes no part.
    load_state(*network_, file.tensors(), file.name(),
               {.counters_may_be_missing = true, .allow_unexpected = says.flag("auxiliary")});
    learnt_ = says.text("targets") == "metric";
    if (learnt_ && says.contains("slices")) slices_ = says.number("slices");
    image_.size_px = says.number("size_px");
    image_.fit = says.text("fit");
    image_.normalise.mean = says.numbers("mean");
    image_.normalise.std = says.numbers("std");
    image_.channels = backbone.in_channels;
    image_.threads = options.threads;
    device_ = training_device(options.device);
    network_->to(device_);
    width_ = embed(at::zeros({1, backbone.in_channels, image_.size_px, image_.size_px})).size(1);
  }

  int64_t width() const { return width_; }
  const ImageFeedOptions& image() const { return image_; }
  at::Device device() const { return device_; }

  /// float32 [N, D] on the CPU.
  at::Tensor embed(const at::Tensor& images_NCHW) {
    const at::NoGradGuard no_grad;
    const EvaluationMode evaluation(*network_);
    const at::Tensor images = images_NCHW.to(device_);
    at::Tensor features = (learnt_ ? network_->forward(images) : network_->embedding(images))
                              .to(at::kCPU, at::kFloat)
                              .contiguous();
    if (!learnt_) return features;
    return unit_slices(features, slices_);
  }

 private:
  std::shared_ptr<Backbone> network_;
  bool learnt_ = false;  ///< the output is an embedding
  int64_t slices_ = 1;
  int64_t width_ = 0;
  ImageFeedOptions image_;
  at::Device device_ = at::kCPU;
};

}  // namespace

FeatureTable embed_dataset(const std::filesystem::path& weights,
                           const std::shared_ptr<const PackedDataset>& dataset,
                           const std::string& name, const Extensions& extensions,
                           const EmbedOptions& options, Communicator& group) {
  const std::vector<int64_t> rows = dataset->originals();
  std::vector<std::string> ids;
  for (const int64_t row : rows) ids.push_back(dataset->id(row));
  const std::string title = fmt::format("features of {} by {}", name, weights.string());
  const auto own = agreed(group, [&] {
    Embedder embedder(weights, *dataset, extensions, options);
    PredictionTable table(title, ids, embedder.width());
    const int64_t chunks = num_chunks(std::ssize(rows), options.chunk);
    PredictionFeedOptions feed;
    feed.chunk = options.chunk;
    feed.first_chunk = chunks * group.rank() / group.size();
    feed.last_chunk = chunks * (group.rank() + 1) / group.size();
    feed.image = embedder.image();
    if (feed.first_chunk == feed.last_chunk) return table;
    const auto source = make_prediction_source(dataset, rows, feed);
    source->set_epoch(0, 0);
    while (const auto batch = source->next()) {
      if (options.stop && options.stop())
        throw Error(ErrorKind::kInterrupted, "a signal asked the search to stop");
      std::vector<std::string> batch_ids;
      for (const int64_t row : batch->rows) batch_ids.push_back(dataset->id(row));
      table.add(batch_ids, embedder.embed(batch->input(batch->images_NCHW.to(embedder.device()))));
    }
    return table;
  });
  PredictionTable whole(title, ids, own.num_columns());
  for (const std::string& part : group.all_gather(own.serialise()))
    whole.merge(PredictionTable::deserialise(part));
  whole.check_complete();
  return {name, ids, whole.values()};
}

std::shared_ptr<const PairScores> read_pair_scores(const std::filesystem::path& weights) {
  const auto head = read_pair_head(SafetensorsFile(weights), weights.string());
  return head ? std::make_shared<const PairScores>(*head) : nullptr;
}

}  // namespace baleen
