#include "distributed/data_parallel.h"

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/distributed/c10d/HashStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/default_comm_hooks.hpp>
#include <torch/csrc/distributed/c10d/reducer.hpp>

#include <unordered_map>

#include "core/base/error.h"
#include "distributed/device_tree.h"
#include "distributed/fixed_tree.h"
#include "distributed/mpi_backend.h"
#include "distributed/mpi_communicator.h"
#include "distributed/nccl_backend.h"
#include "distributed/rendezvous.h"

namespace baleen {
namespace {

using Gradients = std::vector<at::Tensor>;

void add_gradients(Gradients& left, Gradients& right) { at::_foreach_add_(left, right); }

using GradientTree = TreeSum<Gradients, void (*)(Gradients&, Gradients&)>;

/// The group's c10d objects: MPI for CPU tensors; for CUDA, NCCL that met over a store whose
/// address travelled by MPI.
struct ProcessGroup {
  c10::intrusive_ptr<c10d::ProcessGroup> group;
  c10::intrusive_ptr<MpiBackend> mpi;
  c10::intrusive_ptr<c10d::Backend> device;  ///< the one that carries gradients
};

ProcessGroup make_process_group(Communicator& comm, at::Device device) {
  auto* mpi_comm = dynamic_cast<MpiCommunicator*>(&comm);
  if (!mpi_comm)
    throw Error(ErrorKind::kInternal, "data parallel training needs an MPI communicator");
  ProcessGroup result;
  result.mpi = c10::make_intrusive<MpiBackend>(mpi_comm->handle());
  result.device = result.mpi;
  auto type = c10d::ProcessGroup::BackendType::CUSTOM;
  c10::intrusive_ptr<c10d::Store> store = c10::make_intrusive<c10d::HashStore>();
  if (device.is_cuda()) {
    store = rendezvous(comm);
    result.device = make_nccl_backend(store, comm.rank(), comm.size(), std::chrono::minutes(10));
    type = c10d::ProcessGroup::BackendType::NCCL;
  }
  result.group = c10::make_intrusive<c10d::ProcessGroup>(store, comm.rank(), comm.size());
  result.group->setBackend(device.type(), type, result.device);
  result.group->setDefaultBackend(type);
  result.group->setGroupName("baleen");
  result.group->setGroupDesc("baleen");
  return result;
}

class DataParallelImpl;

/// Finishes the local part of the tree for a bucket, then sums it over ranks.
class TreeHook final : public c10d::CppCommHookInterface<DataParallelImpl*> {
 public:
  using CppCommHookInterface::CppCommHookInterface;
  c10::intrusive_ptr<c10::ivalue::Future> runHook(c10d::GradBucket& bucket) override;
};

class DataParallelImpl final : public DataParallel {
 public:
  DataParallelImpl(torch::nn::Module& module, Communicator& group,
                   const DataParallelOptions& options)
      : options_(options),
        range_(shards_of_rank(options.num_shards, group.rank(), group.size())),
        size_(group.size()),
        buffers_(module.buffers()),
        partials_(&add_gradients) {
    if (options.num_shards < group.size()) {
      throw Error(ErrorKind::kInternal,
                  fmt::format("{} ranks for {} logical shards", group.size(), options.num_shards));
    }
    for (const auto& item : module.named_parameters()) {
      if (!item.value().requires_grad()) continue;
      index_[item.value().unsafeGetTensorImpl()] = params_.size();
      names_[params_.size()] = item.key();
      params_.push_back(item.value());
    }
    if (size_ > 1) connect(module, group);
  }

  ShardRange shards() const override { return range_; }

  void backward(int64_t shard, bool first_of_shard, bool last_of_shard,
                const at::Tensor& loss) override {
    add_shard(shard, first_of_shard, last_of_shard, [&] { loss.backward(); });
  }

  void accumulate(int64_t shard, Gradients gradients) override {
    for (size_t i = 0; i < params_.size(); ++i) {
      at::Tensor& g = gradients.at(i);
      const at::Tensor p = params_[i].detach();
      if (!g.defined()) g = at::zeros_like(p);
      // As autograd leaves them: in the parameters' own strides.
      if (g.strides() != p.strides()) g = at::empty_like(p).copy_(g);
    }
    // A parameter as the root of a backward pass takes the gradient at once, and what waits for
    // gradients sees it as any other.
    add_shard(shard, true, true, [&] { torch::autograd::backward(params_, gradients); });
  }

  template <class Differentiate>
  void add_shard(int64_t shard, bool first_of_shard, bool last_of_shard,
                 Differentiate&& differentiate) {
    const bool last_shard = shard == range_.last - 1;
    if (first_of_shard) {
      // Undefined gradients let autograd hand over its own buffers instead of adding into ours.
      for (at::Tensor& p : params_) p.mutable_grad().reset();
      if (shard == range_.first) partials_.clear();
    }
    const bool reduce = last_shard && last_of_shard && size_ > 1;
    if (reduce) {
      buckets_seen_ = 0;
      reducer_->prepare_for_forward();
      reducer_->rebuild_buckets();
      reducer_->prepare_for_backward({});
    }
    differentiate();
    if (!reduce) computed_at_ = Clock::now();
    if (reduce) {
      num_buckets_ = buckets_seen_;
      if (activity_) activity_->set_waiting(nullptr);
      partials_.clear();
    } else if (last_of_shard && (!last_shard || options_.num_shards > 1)) {
      keep_partial(shard);
      if (last_shard) install(partials_.finish());
    }
  }

  at::Tensor gather_shards(const at::Tensor& local_VK) override {
    if (size_ == 1) return local_VK;
    // Ranks may own different numbers of shards; every rank sends the most any of them has.
    const int64_t rows = (options_.num_shards + size_ - 1) / size_;
    const int64_t columns = local_VK.size(1);
    at::Tensor mine = at::zeros({rows, columns}, local_VK.options().device(at::kCPU));
    mine.narrow(0, 0, local_VK.size(0)).copy_(local_VK);
    at::Tensor all = at::empty({size_ * rows, columns}, mine.options());
    const Activity::Waiting waiting(activity_, "the exchange of a step's losses");
    process_.mpi->_allgather_base(all, mine, {})->wait();
    at::Tensor result = at::empty({options_.num_shards, columns}, mine.options());
    for (int r = 0; r < size_; ++r) {
      const ShardRange range = shards_of_rank(options_.num_shards, r, size_);
      const int64_t n = range.last - range.first;
      result.narrow(0, range.first, n).copy_(all.narrow(0, r * rows, n));
    }
    return result.to(local_VK.device());
  }

  void broadcast_buffers() override {
    if (size_ == 1 || buffers_.empty()) return;
    at::NoGradGuard no_grad;
    const Activity::Waiting waiting(activity_, "the broadcast of running statistics");
    c10d::broadcast_coalesced(process_.group, buffers_, kBroadcastBytes, 0);
  }

  std::chrono::steady_clock::time_point computed_at() const override { return computed_at_; }

  bool any(bool here) override {
    if (size_ == 1) return here;
    std::vector<at::Tensor> flag{at::full({1}, here ? 1 : 0, at::kInt)};
    c10d::AllreduceOptions max;
    max.reduceOp = c10d::ReduceOp::MAX;
    const Activity::Waiting waiting(activity_, "the agreement that all have read a step's images");
    process_.mpi->allreduce(flag, max)->wait();
    return flag[0].item<int>() != 0;
  }

  void close() override {
    reducer_.reset();
    // NCCL's destructor alone would abort what is still under way on other ranks.
    if (process_.device && process_.device != process_.mpi) process_.device->shutdown();
    if (process_.mpi) process_.mpi->close();
    process_ = {};
  }

  c10::intrusive_ptr<c10::ivalue::Future> reduce_bucket(c10d::GradBucket& bucket) {
    at::NoGradGuard no_grad;
    // After the last bucket this rank has nothing left to compute.
    computed_at_ = Clock::now();
    if (++buckets_seen_ == num_buckets_ && activity_)
      activity_->set_waiting("the sum of gradients");
    at::Tensor flat = bucket.getBufferRef();
    const std::vector<at::Tensor> params = bucket.getParameters();
    // GradBucket::getGradients() gives contiguous views; the gradients lie in their parameters' own
    // strides.
    const auto views_of = [&params](const at::Tensor& buffer) {
      Gradients views;
      int64_t offset = buffer.storage_offset();
      for (const at::Tensor& p : params) {
        views.push_back(buffer.as_strided(p.sizes(), p.strides(), offset));
        offset += p.numel();
      }
      return views;
    };
    const auto of_bucket = [&](const Gradients& all) {
      Gradients some;
      for (const at::Tensor& p : params) some.push_back(all[index_.at(p.unsafeGetTensorImpl())]);
      return some;
    };

    Gradients views = views_of(flat);
    TreeNode node{0, range_.last - 1};
    size_t rest = partials_.partials().size();
    while (rest > 0) {
      const auto& left = partials_.partials()[rest - 1];
      const bool siblings =
          (node.index & 1) && left.node.level == node.level && left.node.index == (node.index ^ 1);
      if (options_.fixed_tree && !siblings) break;
      at::_foreach_add_(views, of_bucket(left.value));
      node = {node.level + 1, node.index >> 1};
      --rest;
    }
    std::vector<at::Tensor> nodes;
    for (size_t i = 0; i < rest; ++i) {
      at::Tensor packed = at::empty_like(flat);
      Gradients to = views_of(packed);
      const Gradients from = of_bucket(partials_.partials()[i].value);
      for (size_t j = 0; j < to.size(); ++j) to[j].copy_(from[j]);
      nodes.push_back(packed);
    }
    nodes.push_back(flat);
    if (!options_.fixed_tree) {
      std::vector<at::Tensor> one{flat};
      return process_.device->allreduce(one, {})->getFuture();
    }
    if (flat.is_cuda() || options_.force_generic_tree) {
      return device_tree_all_reduce(*process_.device, options_.num_shards, nodes, flat);
    }
    return process_.mpi->tree_all_reduce(options_.num_shards, nodes, flat)->getFuture();
  }

 private:
  static constexpr size_t kBroadcastBytes = size_t{250} << 20;

  using Clock = std::chrono::steady_clock;

  void connect(torch::nn::Module& module, Communicator& group) {
    if (const auto* mpi = dynamic_cast<MpiCommunicator*>(&group)) activity_ = mpi->activity();
    process_ = make_process_group(group, params_.at(0).device());
    c10d::verify_params_across_processes(process_.group, params_, std::nullopt);
    {
      at::NoGradGuard no_grad;
      std::vector<at::Tensor> all;
      for (const at::Tensor& p : module.parameters()) all.push_back(p.detach());
      all.insert(all.end(), buffers_.begin(), buffers_.end());
      c10d::broadcast_coalesced(process_.group, all, kBroadcastBytes, 0);
    }
    // One bucket at first; the Reducer rebuilds them after the first step in the order the
    // gradients became ready.
    std::vector<bool> sparse(params_.size(), false);
    auto [buckets, limits] = c10d::compute_bucket_assignment_by_size(
        params_, {std::numeric_limits<size_t>::max() >> 1}, sparse);
    std::reverse(buckets.begin(), buckets.end());
    reducer_ = std::make_unique<c10d::Reducer>(
        params_, buckets, process_.group, sparse, options_.bucket_bytes,
        /*find_unused_parameters=*/false,
        /*gradient_as_bucket_view=*/true, names_, options_.first_bucket_bytes,
        /*skip_all_reduce_unused_params=*/false,
        /*use_python_reducer=*/false, std::vector<int64_t>{});
    reducer_->register_comm_hook(std::make_unique<TreeHook>(this));
  }

  /// Moves the parameters' gradients into the tree as the sum of one shard.
  void keep_partial(int64_t shard) {
    at::NoGradGuard no_grad;
    Gradients gradients;
    gradients.reserve(params_.size());
    for (at::Tensor& p : params_) {
      gradients.push_back(p.grad().defined() ? p.grad() : at::zeros_like(p));
      p.mutable_grad().reset();
    }
    if (options_.fixed_tree) {
      partials_.push({0, shard}, std::move(gradients));
    } else if (partials_.partials().empty()) {
      partials_.push({0, 0}, std::move(gradients));
    } else {  // a running sum: one set of gradients, bits that depend on how many shards a rank has
      auto sum = partials_.pop();
      add_gradients(sum.value, gradients);
      partials_.push({0, 0}, std::move(sum.value));
    }
  }

  void install(Gradients sum) {
    for (size_t i = 0; i < params_.size(); ++i) params_[i].mutable_grad() = std::move(sum[i]);
  }

  DataParallelOptions options_;
  ShardRange range_;
  int size_;
  std::vector<at::Tensor> params_;
  std::vector<at::Tensor> buffers_;
  std::unordered_map<void*, size_t> index_;
  std::unordered_map<size_t, std::string> names_;
  GradientTree partials_;
  ProcessGroup process_;
  std::unique_ptr<c10d::Reducer> reducer_;
  Activity* activity_ = nullptr;  ///< the communicator's
  Clock::time_point computed_at_;
  int64_t buckets_seen_ = 0;  ///< in this step
  int64_t num_buckets_ = 0;   ///< of the step before
};

c10::intrusive_ptr<c10::ivalue::Future> TreeHook::runHook(c10d::GradBucket& bucket) {
  return state_->reduce_bucket(bucket);
}

}  // namespace

std::unique_ptr<DataParallel> make_data_parallel(torch::nn::Module& module, Communicator& group,
                                                 const DataParallelOptions& options) {
  return std::make_unique<DataParallelImpl>(module, group, options);
}

}  // namespace baleen
