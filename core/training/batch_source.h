#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace baleen {

/// One micro-batch of one logical shard, as it enters the network.
struct Batch {
  at::Tensor images_NCHW;  ///< float32, normalised, contiguous in the memory format asked for;
                           ///< with `finish`, what it makes that of
  at::Tensor targets;      ///< float32 [N, L] for multi-label data, int64 [N] for class indices
                           ///< (float32 [N, K] where samples are blended)
  /// Makes the network's input of images_NCHW once they are on the device where it is wanted;
  /// empty: they are it.
  std::function<at::Tensor(const at::Tensor& on_device)> finish;
  std::vector<int64_t> rows;   ///< N dataset rows, in the order of the images
  int64_t step = 0;            ///< step in the epoch, from 0
  int64_t shard = 0;           ///< logical shard this belongs to, in [0, V)
  bool first_of_shard = true;  ///< the shard's first micro-batch
  bool last_of_shard =
      true;  ///< the shard's last micro-batch: its gradient is complete after this one
  int64_t global_count = 0;  ///< samples in the whole global batch of this step, over all shards
  int64_t pass = 0;          ///< in prediction: 0 the images themselves, then the random passes

  /// The network's input, of images_NCHW on its device.
  at::Tensor input(const at::Tensor& on_device) const {
    return finish ? finish(on_device) : on_device;
  }
};

/// Where the trainer and the predictor get their batches.
///
/// For training, an epoch is a sequence of steps; each step's global batch is cut into V logical
/// shards, each shard into `accumulate` micro-batches. A source delivers this rank's shards only:
/// step by step, shards ascending, micro-batches in order. The content of (epoch, step, shard) does
/// not depend on the number of ranks. For prediction a "step" is one chunk, delivered once per
/// pass. Used from one thread; reading ahead happens behind it.
class BatchSource {
 public:
  virtual ~BatchSource() = default;
  virtual int64_t steps_per_epoch() const = 0;
  /// Starts (or restarts) at a step of an epoch; what was read ahead is dropped.
  virtual void set_epoch(int64_t epoch, int64_t first_step) = 0;
  /// The next micro-batch, or nothing at the end of the epoch.
  /// @throws Error kData naming file and sample when a sample can't be read.
  virtual std::optional<Batch> next() = 0;
};

}  // namespace baleen
