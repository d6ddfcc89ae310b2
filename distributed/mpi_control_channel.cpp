#include "distributed/mpi_control_channel.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "distributed/mpi_call.h"

namespace baleen {

void MpiControlChannel::reap_locked() {
  for (auto it = pending_.begin(); it != pending_.end();) {
    int done = 0;
    check_mpi(MPI_Test(&it->request, &done, MPI_STATUS_IGNORE), "MPI_Test");
    it = done ? pending_.erase(it) : std::next(it);
  }
}

void MpiControlChannel::send(int destination, int tag, const std::string& bytes) {
  std::lock_guard lock(mutex_);
  reap_locked();
  Pending& message = pending_.emplace_back();
  message.bytes = bytes;
  check_mpi(MPI_Isend(message.bytes.data(), static_cast<int>(message.bytes.size()), MPI_BYTE,
                      destination, tag, comm_, &message.request),
            "MPI_Isend");
}

bool MpiControlChannel::receive(int tag, double timeout_s, Message& message) {
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                           std::chrono::duration<double>(timeout_s));
  Pause pause = timeout_s > 0 ? pause_of(tag) : kShortestPause;
  for (;;) {
    int found = 0;
    MPI_Message handle = MPI_MESSAGE_NULL;
    MPI_Status status;
    check_mpi(MPI_Improbe(MPI_ANY_SOURCE, tag, comm_, &found, &handle, &status), "MPI_Improbe");
    if (found) {
      int length = 0;
      check_mpi(MPI_Get_count(&status, MPI_BYTE, &length), "MPI_Get_count");
      message.source = status.MPI_SOURCE;
      message.bytes.resize(static_cast<size_t>(length));
      check_mpi(MPI_Mrecv(message.bytes.data(), length, MPI_BYTE, &handle, MPI_STATUS_IGNORE),
                "MPI_Mrecv");
      if (timeout_s > 0) set_pause(tag, kShortestPause);
      return true;
    }
    const auto now = Clock::now();
    if (now >= deadline) {
      if (timeout_s > 0) set_pause(tag, pause);
      return false;
    }
    std::this_thread::sleep_for(std::min<Clock::duration>(pause, deadline - now));
    pause = std::min(pause * 4, kLongestPause);
  }
}

MpiControlChannel::Pause MpiControlChannel::pause_of(int tag) {
  std::lock_guard lock(mutex_);
  return pauses_.try_emplace(tag, kShortestPause).first->second;
}

void MpiControlChannel::set_pause(int tag, Pause pause) {
  std::lock_guard lock(mutex_);
  pauses_[tag] = pause;
}

void MpiControlChannel::close() {
  {
    std::lock_guard lock(mutex_);
    for (Pending& message : pending_)
      check_mpi(MPI_Wait(&message.request, MPI_STATUS_IGNORE), "MPI_Wait");
    pending_.clear();
  }
  check_mpi(MPI_Comm_free(&comm_), "MPI_Comm_free");
}

}  // namespace baleen
