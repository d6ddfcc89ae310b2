#include "distributed/mpi_control_channel.h"

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
  const auto deadline = std::chrono::steady_clock::now() +
                        std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                            std::chrono::duration<double>(timeout_s));
  auto pause = std::chrono::microseconds(50);
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
      return true;
    }
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, std::chrono::microseconds(5000));
  }
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
