#include "launch/supervisor/restart_policy.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstring>

#include "core/base/error.h"

namespace baleen {

Outcome judge(int exit_code) {
  switch (exit_code) {
    case 0:
      return {true, false, "done"};
    case 1:
      return {false, true, "mpirun could not start the job or lost it"};
    case 126:
    case 127:
      return {false, false, "a program was not found or may not be executed"};
    default:
      break;
  }
  for (const ErrorKind kind :
       {ErrorKind::kUsage, ErrorKind::kConfiguration, ErrorKind::kData, ErrorKind::kNumeric}) {
    if (exit_code == baleen::exit_code(kind))
      return {false, false, fmt::format("{} error: it would come again", name_of(kind))};
  }
  if (exit_code == baleen::exit_code(ErrorKind::kInterrupted))
    return {true, false, "asked to stop; it was saved"};
  for (const ErrorKind kind :
       {ErrorKind::kInternal, ErrorKind::kStorage, ErrorKind::kHang, ErrorKind::kCommunication}) {
    if (exit_code == baleen::exit_code(kind))
      return {false, true, fmt::format("{} error", name_of(kind))};
  }
  if (exit_code > 128 && exit_code <= 128 + SIGSYS) {
    const char* name = sigabbrev_np(exit_code - 128);
    return {false, true, fmt::format("a process was ended by SIG{}", name ? name : "?")};
  }
  return {false, true, fmt::format("mpirun ended with {}", exit_code)};
}

RestartPolicy::Decision RestartPolicy::after(int exit_code, bool progressed) {
  if (progressed) fruitless_ = 0;
  if (!judge(exit_code).mendable || fruitless_ >= options_.max_restarts) return {};
  Decision decision;
  decision.restart = true;
  decision.wait_s =
      std::min(options_.longest_wait_s, options_.first_wait_s * std::exp2(fruitless_));
  decision.attempt = ++fruitless_;
  return decision;
}

}  // namespace baleen
