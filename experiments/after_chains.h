#pragma once

#include <functional>

#include "distributed/communicator.h"

namespace baleen {

/// Throws Error kInterrupted once a signal asked the run to stop. Called often by whatever takes
/// longer than a second.
using CheckStop = std::function<void()>;

/// [collective over the world] Runs `work` on rank 0 while the others wait, and agrees on how it
/// went: what comes after the last chain. A signal that reaches any rank ends it with Error
/// kInterrupted on all of them.
/// @param stop_requested a signal arrived on this process; may be empty
void work_on_first_rank(Communicator& world, ControlChannel& control,
                        const std::function<bool()>& stop_requested,
                        const std::function<void(const CheckStop&)>& work);

/// [collective over the world] The same with work for every rank, each its own: a signal that
/// reaches any rank, at work or waiting for the others, ends the work of all. Where everybody had
/// finished by then, nobody is interrupted.
void work_on_every_rank(Communicator& world, ControlChannel& control,
                        const std::function<bool()>& stop_requested,
                        const std::function<void(const CheckStop&)>& work);

}  // namespace baleen
