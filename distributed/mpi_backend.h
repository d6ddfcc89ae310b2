#pragma once

#include <ATen/core/Tensor.h>
#include <mpi.h>

#include <torch/csrc/distributed/c10d/Backend.hpp>

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "distributed/fixed_tree.h"

namespace baleen {

/// c10d collectives for CPU tensors over MPI. Every operation runs on one thread of the backend's
/// own, in the order of the calls, so that communication overlaps the backward pass; results are
/// visible when the returned Work is done.
///
/// Tensors are contiguous. Sums of all_reduce come in MPI's order; only tree_all_reduce has bits
/// that do not depend on the number of ranks.
class MpiBackend final : public c10d::Backend {
 public:
  /// [collective] Duplicates `comm`.
  explicit MpiBackend(MPI_Comm comm);
  ~MpiBackend() override;

  /// [collective] Ends the thread and frees the communicator. Called before the last reference
  /// goes.
  void close();

  const std::string getBackendName() const override { return "baleen-mpi"; }
  c10::intrusive_ptr<c10d::Work> allreduce(std::vector<at::Tensor>& tensors,
                                           const c10d::AllreduceOptions& options) override;
  c10::intrusive_ptr<c10d::Work> broadcast(std::vector<at::Tensor>& tensors,
                                           const c10d::BroadcastOptions& options) override;
  c10::intrusive_ptr<c10d::Work> allgather(std::vector<std::vector<at::Tensor>>& outputs,
                                           std::vector<at::Tensor>& inputs,
                                           const c10d::AllgatherOptions& options) override;
  c10::intrusive_ptr<c10d::Work> _allgather_base(at::Tensor& output, at::Tensor& input,
                                                 const c10d::AllgatherOptions& options) override;
  c10::intrusive_ptr<c10d::Work> alltoall_base(at::Tensor& output, at::Tensor& input,
                                               std::vector<int64_t>& output_sizes,
                                               std::vector<int64_t>& input_sizes,
                                               const c10d::AllToAllOptions& options) override;
  c10::intrusive_ptr<c10d::Work> barrier(const c10d::BarrierOptions& options) override;

  /// Sum of all ranks' partial sums over V shards in the order of the fixed tree, into `out` on
  /// every rank.
  ///
  /// `partials` are this rank's nodes maximal_nodes(shards_of_rank(V, …)), each a flat tensor like
  /// `out`; the last may be `out` itself. Moves 2(R-1)/R of the bytes per rank, as a ring
  /// all-reduce does: chunk j of every node goes to rank j, is summed there, and is gathered back.
  c10::intrusive_ptr<c10d::Work> tree_all_reduce(int64_t num_shards,
                                                 std::vector<at::Tensor> partials, at::Tensor out);

 private:
  class MpiWork;
  using Job = std::pair<std::function<void()>, c10::intrusive_ptr<MpiWork>>;

  c10::intrusive_ptr<c10d::Work> submit(std::function<void()> job, std::vector<at::Tensor> results,
                                        c10d::OpType op);
  void loop();
  /// [collective] Waits asleep for all ranks. A rank that has its gradients a little before the
  /// others goes on computing then, while MPI's own waiting would take half of its processor.
  void meet();
  at::Tensor scratch(int64_t numel, const at::TensorOptions& options);
  void run_tree(int64_t num_shards, const std::vector<at::Tensor>& partials, const at::Tensor& out);

  MPI_Comm comm_ = MPI_COMM_NULL;
  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> queue_;
  bool stop_ = false;
  at::Tensor scratch_;  ///< kept between calls: a fresh mapping per bucket costs more than the sum
};

}  // namespace baleen
