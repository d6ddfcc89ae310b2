#include "data/loader.h"

#include <ATen/ops/empty.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/base/error.h"
#include "data/augment/device_augment.h"
#include "data/augment/image_to_tensor.h"
#include "data/augment/mixup.h"
#include "data/loader_buffers.h"
#include "data/pipelined_source.h"
#include "data/sampler.h"

namespace baleen {
namespace {

/// What is done to the images of a source at random.
struct RandomChanges {
  AugmentOptions augment;
  std::vector<AugmentationStep> custom;
  uint64_t seed = 0;
  bool on_device = false;
};

/// Turns rows into batches. make() may run on several threads at once, each with its own number.
class BatchMaker {
 public:
  BatchMaker(std::shared_ptr<const SampleTable> table, const ImageFeedOptions& options,
             RandomChanges changes)
      : table_(std::move(table)),
        options_(options),
        changes_(std::move(changes)),
        fit_(fit_from_name(options.fit)),
        num_inputs_(options.channels ? options.channels : table_->channels()),
        scratch_(static_cast<size_t>(std::max<int64_t>(options.threads, 1))) {
    validate(changes_.augment);
    changes_.augment = at_strength(changes_.augment);
    check_options();
    if (changes_.on_device)
      device_augment_ = std::make_shared<DeviceAugment>(
          DeviceAugment::Options{options_.normalise, num_inputs_, options_.channels_last});
    plain_ = PixelTable(options_.normalise);
    // Read ahead, in the making, with the caller, and one to come.
    pool_ = std::make_shared<BufferPool>(static_cast<size_t>(
        std::max(options_.queue_depth, options_.threads) + options_.threads + 2));
    one_thread_inside_opencv();
  }

  /// @param random the source's images are changed, with the draws of this epoch or pass
  Batch make(const MicroBatch& micro, const OrderView& places, int64_t epoch, bool random,
             int64_t thread) {
    const std::span<const int64_t> rows = places.rows;
    Batch batch;
    batch.rows.assign(rows.begin(), rows.end());
    batch.step = micro.step;
    batch.shard = micro.shard;
    batch.first_of_shard = micro.first_of_shard;
    batch.last_of_shard = micro.last_of_shard;
    batch.global_count = micro.global_count;
    batch.pass = micro.pass;
    const int64_t count = static_cast<int64_t>(rows.size());
    const bool blends = random && changes_.augment.mixup.alpha > 0;
    MixupDraw mixup;
    if (blends)
      mixup = draw_mixup(changes_.augment.mixup.alpha, count,
                         mixup_random(changes_.seed, epoch, micro.step, micro.positions.begin));
    ImageScratch& scratch = scratch_[static_cast<size_t>(thread)];
    const auto read_each = [&](const auto& write) {
      for (int64_t n = 0; n < count; ++n) {
        const int64_t row = rows[static_cast<size_t>(n)];
        with_context(
            [&] {
              return fmt::format("reading sample '{}' (row {}) for step {}", table_->id(row), row,
                                 micro.step);
            },
            [&] { write(row, n); });
      }
    };
    const int64_t size = options_.size_px;
    if (changes_.on_device) {
      const int64_t channels = table_->channels();
      batch.images_NCHW = at::empty({count, size, size, channels},
                                    at::TensorOptions(at::kByte).pinned_memory(options_.pin));
      uint8_t* pixels = batch.images_NCHW.mutable_data_ptr<uint8_t>();
      std::vector<AugmentDraw> draws(rows.size());
      read_each([&](int64_t row, int64_t n) {
        AugmentDraw& draw = draws[static_cast<size_t>(n)];
        draw = draw_of(row, epoch, random, places, n);
        AugmentDraw cut;  // the rest is done on the device
        cut.crop = draw.crop;
        write(row, cut, {}, scratch,
              {.channels = channels,
               .size_px = size,
               .channels_last = true,
               .bytes = pixels + n * size * size * channels});
      });
      batch.finish = [augment = device_augment_, draws = std::move(draws),
                      mixup](const at::Tensor& images) { return (*augment)(images, draws, mixup); };
    } else {
      batch.images_NCHW = empty_images(count);
      const int64_t image_values = num_inputs_ * size * size;
      read_each([&](int64_t row, int64_t n) {
        std::function<void(const PixelBlock&)> change;
        if (random && !changes_.custom.empty())
          change = [&](const PixelBlock& block) {
            apply_custom(block, seed_of(places, n), epoch, table_->id(row));
          };
        write(row, draw_of(row, epoch, random, places, n), change, scratch,
              target(batch.images_NCHW, n * image_values));
      });
      if (blends)
        mix_images(mixup, batch.images_NCHW.mutable_data_ptr<float>(), image_values, scratch.mixed);
    }
    batch.targets = targets(rows);
    if (blends) {
      batch.targets =
          mix_targets(mixup, batch.targets, static_cast<int64_t>(table_->label_names().size()));
      if (options_.pin) batch.targets = batch.targets.pin_memory();
    }
    return batch;
  }

  /// Rows that make() will be asked for soon.
  void announce(const OrderView& places, int64_t epoch, bool random) const {
    for (size_t n = 0; n < places.rows.size(); ++n) {
      const int64_t row = places.rows[n];
      const AugmentDraw draw = draw_of(row, epoch, random, places, static_cast<int64_t>(n));
      table_->will_need(row, {draw.crop, options_.size_px, options_.size_px});
    }
  }

 private:
  void check_options() const {
    if (options_.size_px < 1 || options_.threads < 0 || options_.queue_depth < 1)
      throw Error(
          ErrorKind::kConfiguration,
          fmt::format(
              "size_px {}, threads {}, queue_depth {}: the size and the depth must be at least 1, "
              "the threads at least 0",
              options_.size_px, options_.threads, options_.queue_depth));
    if (table_->channels() != 1 && num_inputs_ != table_->channels())
      throw Error(ErrorKind::kConfiguration,
                  fmt::format("the network takes {} channels but the images have {}", num_inputs_,
                              table_->channels()),
                  "only grey images can feed a network with more channels");
    const auto n = static_cast<size_t>(num_inputs_);
    if (options_.normalise.mean.size() != n || options_.normalise.std.size() != n)
      throw Error(ErrorKind::kConfiguration,
                  fmt::format("normalisation for {} channels, but the network takes {}",
                              options_.normalise.mean.size(), n));
    const AugmentOptions& augment = changes_.augment;
    if (augment.random_crop == "padded" && augment.crop_padding_px >= options_.size_px)
      throw Error(ErrorKind::kConfiguration,
                  fmt::format("augment.crop_padding_px {} is not below the image size of {} px",
                              augment.crop_padding_px, options_.size_px));
    if (options_.bytes && (changes_.on_device || augment.mixup.alpha > 0))
      throw Error(ErrorKind::kConfiguration,
                  "batches of levels can't be blended, nor changed on the device");
    if (changes_.on_device && !changes_.custom.empty())
      throw Error(ErrorKind::kConfiguration,
                  fmt::format("the augmentation '{}' runs on the processor only",
                              changes_.custom.front().name),
                  "set training.augment_on to host, or leave augment.custom out");
  }

  ImageTarget target(at::Tensor& images_NCHW, int64_t offset) const {
    ImageTarget result{nullptr, num_inputs_, options_.size_px, options_.channels_last};
    if (options_.bytes)
      result.bytes = images_NCHW.mutable_data_ptr<uint8_t>() + offset;
    else
      result.data = images_NCHW.mutable_data_ptr<float>() + offset;
    return result;
  }

  at::Tensor empty_images(int64_t count) {
    const at::ScalarType type = options_.bytes ? at::kByte : at::kFloat;
    if (!options_.pin)
      return pool_->images(count, num_inputs_, options_.size_px, options_.channels_last, type);
    // LibTorch's own pool of page-locked memory knows which copies to a GPU are still under way.
    return at::empty(
        {count, num_inputs_, options_.size_px, options_.size_px},
        at::TensorOptions(type).pinned_memory(true),
        options_.channels_last ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous);
  }

  /// Of the n-th place: an epoch's first turn of a row has the stream of rows that come once.
  uint64_t seed_of(const OrderView& places, int64_t n) const {
    const auto turn = places.turns.empty() ? uint64_t{0} : static_cast<uint64_t>(places.turns[n]);
    return turn == 0 ? changes_.seed : derive_seed(changes_.seed, Stream::kAugmentation, {turn});
  }

  AugmentDraw draw_of(int64_t row, int64_t epoch, bool random, const OrderView& places,
                      int64_t n) const {
    const ImageSize size = table_->image_size(row);
    AugmentDraw draw;
    if (random)
      draw = draw_augment(changes_.augment, size.height, size.width, seed_of(places, n), epoch,
                          table_->id(row));
    if (!places.mirrored.empty() && places.mirrored[n])
      draw.symmetry = compose(D4::kFlipHorizontal, draw.symmetry);
    if (!random || changes_.augment.random_crop != "resized")
      draw.crop = fitted_box(fit_, size.height, size.width);
    return draw;
  }

  void write(int64_t row, const AugmentDraw& draw,
             const std::function<void(const PixelBlock&)>& change, ImageScratch& scratch,
             const ImageTarget& target) const {
    const ImagePart part =
        table_->image_part(row, {draw.crop, options_.size_px, options_.size_px}, scratch.decoded);
    if (part.view.channels != table_->channels() || part.view.height < 1 || part.view.width < 1)
      throw Error(
          ErrorKind::kData,
          fmt::format("the image has {} × {} pixels and {} channels where the dataset has {}",
                      part.view.height, part.view.width, part.view.channels, table_->channels()));
    write_image(part.view, draw, options_.normalise, plain_, scratch, target, change, &part.box);
  }

  void apply_custom(const PixelBlock& pixels, uint64_t seed, int64_t epoch,
                    const std::string& id) const {
    for (const AugmentationStep& step : changes_.custom) {
      CounterRandom random = augment_random(seed, epoch, id, step.name, step.turn);
      with_context([&] { return fmt::format("augmentation '{}'", step.name); },
                   [&] { step.apply(pixels, random); });
    }
  }

  at::Tensor targets(std::span<const int64_t> rows) const {
    const int64_t count = static_cast<int64_t>(rows.size());
    const TargetKind kind = table_->target_kind();
    if (kind == TargetKind::kSingleClass) {
      at::Tensor classes =
          at::empty({count}, at::TensorOptions(at::kLong).pinned_memory(options_.pin));
      int64_t* out = classes.mutable_data_ptr<int64_t>();
      for (int64_t row : rows) *out++ = table_->class_index(row);
      return classes;
    }
    const int64_t num_labels =
        kind == TargetKind::kMultiLabel ? static_cast<int64_t>(table_->label_names().size()) : 0;
    at::Tensor flags =
        at::empty({count, num_labels}, at::TensorOptions(at::kFloat).pinned_memory(options_.pin));
    float* out = flags.mutable_data_ptr<float>();
    if (num_labels > 0)
      for (int64_t row : rows)
        for (uint8_t flag : table_->labels(row)) *out++ = flag ? 1.0f : 0.0f;
    return flags;
  }

  std::shared_ptr<const SampleTable> table_;
  ImageFeedOptions options_;
  RandomChanges changes_;
  std::shared_ptr<DeviceAugment> device_augment_;  ///< null: on the processor
  Fit fit_;
  int64_t num_inputs_;
  PixelTable plain_;
  std::shared_ptr<BufferPool> pool_;
  std::vector<ImageScratch> scratch_;  ///< one per thread
};

void check_rows(const SampleTable& table, std::span<const int64_t> rows) {
  for (int64_t row : rows)
    if (row < 0 || row >= table.size())
      throw Error(ErrorKind::kInternal,
                  fmt::format("row {} of a dataset of {}", row, table.size()));
}

}  // namespace

std::unique_ptr<BatchSource> make_training_source(std::shared_ptr<const SampleTable> table,
                                                  std::vector<int64_t> rows,
                                                  const TrainingFeedOptions& options) {
  check_rows(*table, rows);
  const ShardRange& shards = options.shards;
  if (shards.first < 0 || shards.first >= shards.last || shards.last > shards.total)
    throw Error(ErrorKind::kInternal, fmt::format("logical shards [{}, {}) of {}", shards.first,
                                                  shards.last, shards.total));
  const int64_t num_samples =
      options.epoch_samples > 0 ? options.epoch_samples : static_cast<int64_t>(rows.size());
  const BatchPlan plan(num_samples, {.batch = options.batch,
                                     .shards = shards.total,
                                     .accumulate = options.accumulate,
                                     .drop_last = options.drop_last});
  std::vector<MicroBatch> micro_batches;
  for (int64_t step = 0; step < plan.steps(); ++step)
    for (MicroBatch& micro : plan.micro_batches(step, shards.first, shards.last))
      micro_batches.push_back(micro);
  auto order = [o = options](std::span<const int64_t> all, int64_t epoch) {
    return o.order ? o.order(epoch) : EpochOrder(epoch_order(all, o.seed, epoch, o.shuffle));
  };
  auto maker = std::make_unique<BatchMaker>(
      std::move(table), options.image,
      RandomChanges{options.augment, options.custom, options.seed, options.augment_on_device});
  return std::make_unique<PipelinedSource<BatchMaker>>(std::move(maker), std::move(rows),
                                                       std::move(micro_batches), plan.steps(),
                                                       std::move(order), options.image);
}

int64_t num_chunks(int64_t num_rows, int64_t chunk) { return (num_rows + chunk - 1) / chunk; }
std::unique_ptr<BatchSource> make_prediction_source(std::shared_ptr<const SampleTable> table,
                                                    std::vector<int64_t> rows,
                                                    const PredictionFeedOptions& options) {
  check_rows(*table, rows);
  if (options.chunk < 1)
    throw Error(ErrorKind::kConfiguration,
                fmt::format("a prediction chunk of {} images", options.chunk));
  const int64_t num_rows = static_cast<int64_t>(rows.size());
  const int64_t total = num_chunks(num_rows, options.chunk);
  const int64_t last = options.last_chunk < 0 ? total : options.last_chunk;
  if (options.first_chunk < 0 || options.first_chunk > last || last > total)
    throw Error(ErrorKind::kInternal,
                fmt::format("chunks [{}, {}) of {}", options.first_chunk, last, total));
  std::vector<MicroBatch> micro_batches;
  for (int64_t chunk = options.first_chunk; chunk < last; ++chunk) {
    const PositionRange positions{chunk * options.chunk,
                                  std::min((chunk + 1) * options.chunk, num_rows)};
    for (int64_t pass = 0; pass <= options.random_passes; ++pass)
      micro_batches.push_back({.step = chunk - options.first_chunk,
                               .positions = positions,
                               .global_count = positions.size(),
                               .pass = pass});
  }
  RandomChanges changes;
  if (options.random_passes > 0) {
    changes = {options.augment, options.custom, options.seed, options.augment_on_device};
    if (changes.augment.mixup.alpha > 0)
      throw Error(ErrorKind::kConfiguration, "mixup has no meaning in predictions",
                  "leave mixup out of prediction.tta_augment");
  }
  auto maker = std::make_unique<BatchMaker>(std::move(table), options.image, std::move(changes));
  return std::make_unique<PipelinedSource<BatchMaker>>(
      std::move(maker), std::move(rows), std::move(micro_batches), last - options.first_chunk,
      nullptr, options.image);
}

}  // namespace baleen
