#include "distributed/device_tree.h"

#include <ATen/core/grad_mode.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <optional>

#include "core/base/error.h"
#include "distributed/fixed_tree.h"

namespace baleen {

c10::intrusive_ptr<c10::ivalue::Future> device_tree_all_reduce(
    c10d::Backend& backend, int64_t num_shards, const std::vector<at::Tensor>& partials,
    at::Tensor out) {
  at::NoGradGuard no_grad;
  const int size = backend.getSize();
  const int rank = backend.getRank();
  const int64_t n = out.numel();
  const int64_t chunk =
      (n + size - 1) / size;  // equal chunks, the last padded: all-gather wants equal parts

  // On a device the additions must not hold up the stream that computes the backward pass.
  std::optional<c10::StreamGuard> on_side_stream;
  if (!out.device().is_cpu()) {
    const c10::impl::VirtualGuardImpl guard(out.device().type());
    c10::Event ready(out.device().type());
    ready.record(guard.getStream(out.device()));
    const c10::Stream side = guard.getStreamFromGlobalPool(out.device(), /*isHighPriority=*/true);
    ready.block(side);
    on_side_stream.emplace(side);
    for (const at::Tensor& partial : partials) partial.record_stream(side);
    out.record_stream(side);
  }

  std::vector<std::vector<TreeNode>> nodes;
  size_t num_slots = 0;
  for (int r = 0; r < size; ++r) {
    const ShardRange range = shards_of_rank(num_shards, r, size);
    nodes.push_back(maximal_nodes(range.first, range.last));
    num_slots = std::max(num_slots, nodes.back().size());
  }
  if (partials.size() != nodes[static_cast<size_t>(rank)].size()) {
    throw Error(ErrorKind::kInternal,
                "device_tree_all_reduce: partial sums do not match this rank's nodes");
  }

  std::vector<at::Tensor>
      received;  // [slot] → R chunks, one of each rank that has a node in this slot
  for (size_t slot = 0; slot < num_slots; ++slot) {
    const bool have = slot < partials.size();
    at::Tensor input = at::zeros({have ? chunk * size : 0}, out.options());
    if (have) input.narrow(0, 0, n).copy_(partials[slot]);
    std::vector<int64_t> input_sizes(static_cast<size_t>(size), have ? chunk : 0);
    std::vector<int64_t> output_sizes;
    int64_t total = 0;
    for (int r = 0; r < size; ++r) {
      output_sizes.push_back(slot < nodes[static_cast<size_t>(r)].size() ? chunk : 0);
      total += output_sizes.back();
    }
    at::Tensor output = at::empty({total}, out.options());
    backend.alltoall_base(output, input, output_sizes, input_sizes, c10d::AllToAllOptions())
        ->wait();
    received.push_back(output);
  }

  const auto add = [](at::Tensor& left, at::Tensor& right) { left.add_(right); };
  TreeSum<at::Tensor, decltype(add)> sum(add);
  std::vector<int64_t> offsets(num_slots, 0);
  for (int r = 0; r < size; ++r) {
    const auto& of_rank = nodes[static_cast<size_t>(r)];
    for (size_t slot = 0; slot < of_rank.size(); ++slot) {
      sum.push(of_rank[slot], received[slot].narrow(0, offsets[slot], chunk));
      offsets[slot] += chunk;
    }
  }
  at::Tensor mine = sum.finish().contiguous();
  at::Tensor gathered = at::empty({chunk * size}, out.options());
  auto work = backend._allgather_base(gathered, mine, c10d::AllgatherOptions());
  return work->getFuture()->then(
      [out, gathered, mine, n](c10::ivalue::Future& done) {
        if (done.hasError()) std::rethrow_exception(done.exception_ptr());
        out.copy_(gathered.narrow(0, 0, n));
        return c10::IValue(std::vector<at::Tensor>{out});
      },
      c10::ListType::create(c10::TensorType::get()));
}

}  // namespace baleen
