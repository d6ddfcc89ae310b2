#pragma once

#include <torch/csrc/distributed/c10d/Store.hpp>

#include "distributed/communicator.h"

namespace baleen {

/// [collective] A store on the group's rank 0, at a free port whose address travels over the group:
/// where NCCL's ranks find each other.
c10::intrusive_ptr<c10d::Store> rendezvous(Communicator& group);

}  // namespace baleen
