#pragma once

#include <torch/csrc/distributed/c10d/Backend.hpp>

#include <vector>

namespace baleen {

/// The fixed-tree sum of MpiBackend::tree_all_reduce written with collectives every c10d backend
/// has (all-to-all, all-gather), so that NCCL follows the same tree. On CUDA it is enqueued on a
/// side stream and overlaps the backward pass.
///
/// @param partials this rank's nodes maximal_nodes(shards_of_rank(V, …)), flat, the last may be
/// `out`
/// @return completes with `out` on every rank
c10::intrusive_ptr<c10::ivalue::Future> device_tree_all_reduce(
    c10d::Backend& backend, int64_t num_shards, const std::vector<at::Tensor>& partials,
    at::Tensor out);

}  // namespace baleen
