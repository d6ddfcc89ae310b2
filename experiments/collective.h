#pragma once

#include <cstdint>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

#include "core/base/error.h"
#include "distributed/communicator.h"

namespace baleen {

[[noreturn]] inline void throw_interrupted() {
  throw Error(ErrorKind::kInterrupted, "a signal asked the run to stop");
}

/// [collective] Runs `action` on every rank and agrees on how it went before anyone goes on.
///
/// If it failed anywhere, the ranks that saw a failure throw it, the others PeerFailed; if the only
/// failures are interruptions, every rank throws Error kInterrupted. `action` itself must not wait
/// for other ranks after the point where it can fail.
template <class Action>
auto agreed(Communicator& group, Action&& action) -> std::invoke_result_t<Action> {
  constexpr int64_t kFine = 0;
  constexpr int64_t kInterrupted = 1;
  constexpr int64_t kFailed = 2;
  using Result = std::invoke_result_t<Action>;
  int64_t mine = kFine;
  std::exception_ptr failure;
  const auto note_failure = [&] {
    failure = std::current_exception();
    mine = current_error().kind() == ErrorKind::kInterrupted ? kInterrupted : kFailed;
  };
  const auto settle = [&] {
    const int64_t worst = group.size() > 1 ? group.max(mine) : mine;
    if (worst == kFine) return;
    if (failure && mine == worst) std::rethrow_exception(failure);
    if (worst == kInterrupted) throw_interrupted();
    throw PeerFailed();
  };
  if constexpr (std::is_void_v<Result>) {
    try {
      std::forward<Action>(action)();
    } catch (...) {
      note_failure();
    }
    settle();
  } else {
    std::optional<Result> result;
    try {
      result.emplace(std::forward<Action>(action)());
    } catch (...) {
      note_failure();
    }
    settle();
    return std::move(*result);
  }
}

/// [collective] Runs `action` on the group's rank 0 only; if it fails, the others throw PeerFailed.
template <class Action>
void on_first_rank(Communicator& group, Action&& action) {
  agreed(group, [&] {
    if (group.rank() == 0) action();
  });
}

}  // namespace baleen
