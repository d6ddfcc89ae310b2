#include "distributed/mpi_backend.h"

#include <ATen/core/grad_mode.h>

#include "core/base/error.h"
#include "core/base/logging.h"
#include "distributed/mpi_call.h"

namespace baleen {
namespace {

int rank_of(MPI_Comm comm) {
  int rank = 0;
  check_mpi(MPI_Comm_rank(comm, &rank), "MPI_Comm_rank");
  return rank;
}

int size_of(MPI_Comm comm) {
  int size = 1;
  check_mpi(MPI_Comm_size(comm, &size), "MPI_Comm_size");
  return size;
}

MPI_Datatype mpi_type(at::ScalarType type) {
  switch (type) {
    case at::kFloat:
      return MPI_FLOAT;
    case at::kDouble:
      return MPI_DOUBLE;
    case at::kInt:
      return MPI_INT32_T;
    case at::kLong:
      return MPI_INT64_T;
    case at::kByte:
      return MPI_UINT8_T;
    case at::kBool:
      return MPI_UINT8_T;
    default:
      throw Error(ErrorKind::kInternal,
                  std::string("no MPI type for tensors of ") + at::toString(type));
  }
}

MPI_Op mpi_op(const c10d::ReduceOp& op) {
  switch (static_cast<c10d::ReduceOp::RedOpType>(op)) {
    case c10d::ReduceOp::SUM:
      return MPI_SUM;
    case c10d::ReduceOp::MAX:
      return MPI_MAX;
    case c10d::ReduceOp::MIN:
      return MPI_MIN;
    default:
      throw Error(ErrorKind::kInternal, "this reduction is not used by Baleen");
  }
}

/// MPI 3 counts in int.
int count_of(int64_t n) {
  if (n > INT32_MAX) throw Error(ErrorKind::kInternal, "a collective of more than 2^31 elements");
  return static_cast<int>(n);
}

// From so many elements on, ranks meet before they sum.
constexpr int64_t kLarge = 1 << 14;

void* data_of(const at::Tensor& tensor) { return tensor.defined() ? tensor.data_ptr() : nullptr; }

}  // namespace

class MpiBackend::MpiWork final : public c10d::Work {
 public:
  MpiWork(std::vector<at::Tensor> results, c10d::OpType op, int rank)
      : c10d::Work(rank, op),
        results_(std::move(results)),
        future_(c10::make_intrusive<c10::ivalue::Future>(
            c10::ListType::create(c10::TensorType::get()))) {}

  void complete(std::exception_ptr error) {
    if (error) {
      future_->setError(error);
    } else {
      future_->markCompleted(c10::IValue(results_));
    }
    finish(error);  // wakes wait() of the base class
  }
  std::vector<at::Tensor> result() override { return results_; }
  c10::intrusive_ptr<c10::ivalue::Future> getFuture() override { return future_; }

 private:
  std::vector<at::Tensor> results_;
  c10::intrusive_ptr<c10::ivalue::Future> future_;
};

MpiBackend::MpiBackend(MPI_Comm comm) : Backend(rank_of(comm), size_of(comm)) {
  check_mpi(MPI_Comm_dup(comm, &comm_), "MPI_Comm_dup");
  check_mpi(MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  thread_ = std::thread([this] { loop(); });
}

MpiBackend::~MpiBackend() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
  if (comm_ != MPI_COMM_NULL) log_debug("an MPI backend of {} ranks was left open", getSize());
}

void MpiBackend::close() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
  if (comm_ != MPI_COMM_NULL) check_mpi(MPI_Comm_free(&comm_), "MPI_Comm_free");
  comm_ = MPI_COMM_NULL;
}

void MpiBackend::loop() {
  at::NoGradGuard no_grad;
  for (;;) {
    Job job;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stop_ || !queue_.empty(); });
      if (queue_.empty()) return;
      job = std::move(queue_.front());
      queue_.pop_front();
    }
    std::exception_ptr error;
    try {
      job.first();
    } catch (...) {
      error = std::current_exception();
    }
    job.second->complete(error);
  }
}

c10::intrusive_ptr<c10d::Work> MpiBackend::submit(std::function<void()> job,
                                                  std::vector<at::Tensor> results,
                                                  c10d::OpType op) {
  auto work = c10::make_intrusive<MpiWork>(std::move(results), op, getRank());
  {
    std::lock_guard lock(mutex_);
    queue_.emplace_back(std::move(job), work);
  }
  wake_.notify_one();
  return work;
}

c10::intrusive_ptr<c10d::Work> MpiBackend::allreduce(std::vector<at::Tensor>& tensors,
                                                     const c10d::AllreduceOptions& options) {
  return submit(
      [this, tensors, op = mpi_op(options.reduceOp)] {
        for (const at::Tensor& tensor : tensors) {
          if (tensor.numel() >= kLarge) meet();
          check_mpi(MPI_Allreduce(MPI_IN_PLACE, tensor.data_ptr(), count_of(tensor.numel()),
                                  mpi_type(tensor.scalar_type()), op, comm_),
                    "MPI_Allreduce");
        }
      },
      tensors, c10d::OpType::ALLREDUCE);
}

c10::intrusive_ptr<c10d::Work> MpiBackend::broadcast(std::vector<at::Tensor>& tensors,
                                                     const c10d::BroadcastOptions& options) {
  return submit(
      [this, tensors, root = static_cast<int>(options.rootRank)] {
        for (const at::Tensor& tensor : tensors) {
          check_mpi(MPI_Bcast(tensor.data_ptr(), count_of(static_cast<int64_t>(tensor.nbytes())),
                              MPI_BYTE, root, comm_),
                    "MPI_Bcast");
        }
      },
      tensors, c10d::OpType::BROADCAST);
}

c10::intrusive_ptr<c10d::Work> MpiBackend::allgather(std::vector<std::vector<at::Tensor>>& outputs,
                                                     std::vector<at::Tensor>& inputs,
                                                     const c10d::AllgatherOptions&) {
  return submit(
      [this, out = outputs.at(0), in = inputs.at(0)] {
        at::Tensor flat = at::empty({getSize(), in.numel()}, in.options());
        const at::Tensor packed = in.contiguous();
        const int bytes = count_of(static_cast<int64_t>(packed.nbytes()));
        check_mpi(MPI_Allgather(packed.data_ptr(), bytes, MPI_BYTE, flat.data_ptr(), bytes,
                                MPI_BYTE, comm_),
                  "MPI_Allgather");
        for (int64_t r = 0; r < getSize(); ++r)
          out[static_cast<size_t>(r)].copy_(flat[r].view(in.sizes()));
      },
      outputs.at(0), c10d::OpType::ALLGATHER);
}

c10::intrusive_ptr<c10d::Work> MpiBackend::_allgather_base(at::Tensor& output, at::Tensor& input,
                                                           const c10d::AllgatherOptions&) {
  return submit(
      [this, output, input] {
        const int bytes = count_of(static_cast<int64_t>(input.nbytes()));
        check_mpi(MPI_Allgather(input.data_ptr(), bytes, MPI_BYTE, output.data_ptr(), bytes,
                                MPI_BYTE, comm_),
                  "MPI_Allgather");
      },
      {output}, c10d::OpType::_ALLGATHER_BASE);
}

c10::intrusive_ptr<c10d::Work> MpiBackend::alltoall_base(at::Tensor& output, at::Tensor& input,
                                                         std::vector<int64_t>& output_sizes,
                                                         std::vector<int64_t>& input_sizes,
                                                         const c10d::AllToAllOptions&) {
  // Split sizes count rows of the first dimension, as c10d defines; none given means equal parts.
  return submit(
      [this, output, input, output_sizes, input_sizes] {
        const auto layout = [this](const at::Tensor& tensor, std::vector<int64_t> rows) {
          if (rows.empty()) rows.assign(static_cast<size_t>(getSize()), tensor.size(0) / getSize());
          const int64_t row = tensor.size(0) ? tensor.numel() / tensor.size(0) : 0;
          std::pair<std::vector<int>, std::vector<int>> result;
          int64_t offset = 0;
          for (int64_t n : rows) {
            result.first.push_back(count_of(n * row));
            result.second.push_back(count_of(offset));
            offset += n * row;
          }
          return result;
        };
        const auto [out_counts, out_offsets] = layout(output, output_sizes);
        const auto [in_counts, in_offsets] = layout(input, input_sizes);
        const MPI_Datatype type = mpi_type(input.scalar_type());
        check_mpi(
            MPI_Alltoallv(input.data_ptr(), in_counts.data(), in_offsets.data(), type,
                          output.data_ptr(), out_counts.data(), out_offsets.data(), type, comm_),
            "MPI_Alltoallv");
      },
      {output}, c10d::OpType::ALLTOALL_BASE);
}

c10::intrusive_ptr<c10d::Work> MpiBackend::barrier(const c10d::BarrierOptions&) {
  return submit([this] { check_mpi(MPI_Barrier(comm_), "MPI_Barrier"); }, {},
                c10d::OpType::BARRIER);
}

void MpiBackend::meet() {
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Ibarrier(comm_, &request), "MPI_Ibarrier");
  wait_asleep(request, "MPI_Ibarrier", std::chrono::microseconds(200), [] {});
}

at::Tensor MpiBackend::scratch(int64_t numel, const at::TensorOptions& options) {
  if (!scratch_.defined() || scratch_.numel() < numel || scratch_.dtype() != options.dtype()) {
    scratch_ = at::empty({numel}, options);
  }
  return scratch_.narrow(0, 0, numel);
}

c10::intrusive_ptr<c10d::Work> MpiBackend::tree_all_reduce(int64_t num_shards,
                                                           std::vector<at::Tensor> partials,
                                                           at::Tensor out) {
  return submit([this, num_shards, partials = std::move(partials),
                 out] { run_tree(num_shards, partials, out); },
                {out}, c10d::OpType::ALLREDUCE);
}

void MpiBackend::run_tree(int64_t num_shards, const std::vector<at::Tensor>& partials,
                          const at::Tensor& out) {
  const int size = getSize();
  const int rank = getRank();
  const int64_t n = out.numel();
  const auto chunk_at = [n, size](int j) { return n * j / size; };
  const int64_t my_length = chunk_at(rank + 1) - chunk_at(rank);
  const MPI_Datatype type = mpi_type(out.scalar_type());

  std::vector<std::vector<TreeNode>> nodes;
  size_t num_slots = 0;
  for (int r = 0; r < size; ++r) {
    const ShardRange range = shards_of_rank(num_shards, r, size);
    nodes.push_back(maximal_nodes(range.first, range.last));
    num_slots = std::max(num_slots, nodes.back().size());
  }
  if (partials.size() != nodes[static_cast<size_t>(rank)].size()) {
    throw Error(ErrorKind::kInternal,
                "tree_all_reduce: partial sums do not match this rank's nodes");
  }

  if (n >= kLarge) meet();
  // One exchange per node slot: chunk j of each of my nodes goes to rank j.
  const at::Tensor received =
      scratch(my_length * size * static_cast<int64_t>(num_slots), out.options());
  std::vector<int> send_counts(static_cast<size_t>(size));
  std::vector<int> send_offsets(static_cast<size_t>(size));
  std::vector<int> receive_counts(static_cast<size_t>(size));
  std::vector<int> receive_offsets(static_cast<size_t>(size));
  for (size_t slot = 0; slot < num_slots; ++slot) {
    const bool have = slot < partials.size();
    for (int r = 0; r < size; ++r) {
      const size_t i = static_cast<size_t>(r);
      send_counts[i] = have ? count_of(chunk_at(r + 1) - chunk_at(r)) : 0;
      send_offsets[i] = count_of(chunk_at(r));
      receive_counts[i] = slot < nodes[i].size() ? count_of(my_length) : 0;
      receive_offsets[i] = count_of((static_cast<int64_t>(slot) * size + r) * my_length);
    }
    check_mpi(MPI_Alltoallv(have ? data_of(partials[slot]) : nullptr, send_counts.data(),
                            send_offsets.data(), type, received.data_ptr(), receive_counts.data(),
                            receive_offsets.data(), type, comm_),
              "MPI_Alltoallv");
  }

  const auto add = [](at::Tensor& left, at::Tensor& right) { left.add_(right); };
  TreeSum<at::Tensor, decltype(add)> sum(add);
  for (int r = 0; r < size; ++r) {
    const auto& of_rank = nodes[static_cast<size_t>(r)];
    for (size_t slot = 0; slot < of_rank.size(); ++slot) {
      sum.push(of_rank[slot],
               received.narrow(0, (static_cast<int64_t>(slot) * size + r) * my_length, my_length));
    }
  }
  out.narrow(0, chunk_at(rank), my_length).copy_(sum.finish());

  for (int r = 0; r < size; ++r) {
    receive_counts[static_cast<size_t>(r)] = count_of(chunk_at(r + 1) - chunk_at(r));
    receive_offsets[static_cast<size_t>(r)] = count_of(chunk_at(r));
  }
  check_mpi(MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, out.data_ptr(),
                           receive_counts.data(), receive_offsets.data(), type, comm_),
            "MPI_Allgatherv");
}

}  // namespace baleen
