#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/weights/named_tensors.h"
#include "distributed/communicator.h"

namespace baleen {

/// One 64-bit hash per tensor, of its values in the order in which they lie in memory. Equal bits
/// give equal hashes wherever layouts are equal; one ulp changes them.
std::vector<uint64_t> tensor_hashes(const NamedTensors& tensors);

/// A rank as messages name it.
struct RankName {
  int rank = 0;  ///< in the world
  std::string host;
};

/// [collective over `group`] Compares tensors that every rank must hold alike: 8 bytes are
/// exchanged where all is well.
/// @returns what differs, on all ranks alike: "rank 1 on host b holds other bits than rank 0 on
/// host a, rank 2 on host b in layer1.0.conv1.weight, and in 3 more tensors"; empty: nothing. Where
/// no majority says who is right, all holders are named.
std::string replica_difference(const NamedTensors& tensors, Communicator& group,
                               const RankName& self);

}  // namespace baleen
