#pragma once

#include <torch/nn/module.h>

#include <memory>

#include "core/training/gradient_reducer.h"
#include "distributed/communicator.h"

namespace baleen {

struct DataParallelOptions {
  int64_t num_shards = 1;  ///< V, logical shards of the global batch; at least the group's size
  /// Sum in the fixed tree: the same bits for any number of ranks. Off: the backend's own
  /// all-reduce, whose order depends on the number of ranks; then a run's record says so.
  bool fixed_tree = true;
  int64_t bucket_bytes =
      int64_t{25} << 20;  ///< gradients travel in buckets of about this size, overlapping backward
  int64_t first_bucket_bytes =
      int64_t{1} << 20;  ///< the first one is small, so that communication starts early
  /// Uses only collectives that every backend has, as on CUDA. For tests on the CPU.
  bool force_generic_tree = false;
};

/// GradientReducer over a group of ranks: local shards are summed on the rank, ranks by c10d's
/// Reducer with a hook that follows the same tree. Holds references to the module's parameters and
/// buffers; close() before the communicator.
class DataParallel : public GradientReducer {
 public:
  /// [collective] Ends communication and frees what the group shares.
  virtual void close() = 0;
};

/// [collective] Checks that all ranks hold the same parameters by shape, then takes rank 0's values
/// on every rank.
/// @throws Error kInternal when the group is larger than V; kCommunication when ranks disagree.
std::unique_ptr<DataParallel> make_data_parallel(torch::nn::Module& module, Communicator& group,
                                                 const DataParallelOptions& options);

}  // namespace baleen
