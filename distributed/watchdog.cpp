#include "distributed/watchdog.h"

#include <array>
#include <chrono>
#include <cstring>

#include "core/base/logging.h"
#include "distributed/mpi_call.h"

namespace baleen {
namespace {

/// One heartbeat on the wire, fixed size so that the receive can be posted ahead.
struct Beat {
  std::array<char, 64> host{};
  std::array<char, 192> activity{};
};

template <size_t N>
void copy_text(std::array<char, N>& to, const std::string& from) {
  const size_t length = std::min(from.size(), N - 1);
  std::memcpy(to.data(), from.data(), length);
  to[length] = '\0';
}

constexpr int kBeatTag = 1;

}  // namespace

Watchdog::Watchdog(MPI_Comm comm, std::string host, Options options, OnSilence on_silence)
    : comm_(comm),
      host_(std::move(host)),
      options_(options),
      on_silence_(std::move(on_silence)),
      activity_("starting") {
  int size = 1;
  check_mpi(MPI_Comm_size(comm_, &size), "MPI_Comm_size");
  if (size > 1 && options_.timeout_s > 0) thread_ = std::thread([this] { loop(); });
}

Watchdog::~Watchdog() {
  stop_ = true;
  if (thread_.joinable()) thread_.join();
}

void Watchdog::set_activity(std::string text) {
  std::lock_guard lock(mutex_);
  activity_ = std::move(text);
}

void Watchdog::close() {
  stop_ = true;
  if (thread_.joinable()) thread_.join();
  check_mpi(MPI_Comm_free(&comm_), "MPI_Comm_free");
}

void Watchdog::loop() {
  using Clock = std::chrono::steady_clock;
  int rank = 0;
  int size = 1;
  MPI_Comm_rank(comm_, &rank);
  MPI_Comm_size(comm_, &size);
  const int right = (rank + 1) % size;
  const int left = (rank + size - 1) % size;
  Beat incoming;
  Beat outgoing;
  Beat latest;
  MPI_Request receive = MPI_REQUEST_NULL;
  MPI_Request send = MPI_REQUEST_NULL;
  MPI_Irecv(&incoming, sizeof incoming, MPI_BYTE, left, kBeatTag, comm_, &receive);
  auto heard = Clock::now();
  auto woke = Clock::now();
  auto next_beat = Clock::now();
  bool reported = false;
  while (!stop_) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    const auto now = Clock::now();
    // This very process may have been stopped or starved: then silence proves nothing, and the
    // neighbour gets a fresh term.
    if (now - woke > std::chrono::duration<double>(options_.timeout_s / 2)) heard = now;
    woke = now;
    int done = 0;
    if (now >= next_beat) {
      MPI_Test(&send, &done, MPI_STATUS_IGNORE);
      if (done) {  // the neighbour took the last one: a stopped neighbour is not flooded
        copy_text(outgoing.host, host_);
        {
          std::lock_guard lock(mutex_);
          copy_text(outgoing.activity, activity_);
        }
        MPI_Isend(&outgoing, sizeof outgoing, MPI_BYTE, right, kBeatTag, comm_, &send);
      }
      next_beat = now + std::chrono::duration_cast<Clock::duration>(
                            std::chrono::duration<double>(options_.interval_s));
    }
    for (MPI_Test(&receive, &done, MPI_STATUS_IGNORE); done;
         MPI_Test(&receive, &done, MPI_STATUS_IGNORE)) {
      latest = incoming;
      heard = now;
      MPI_Irecv(&incoming, sizeof incoming, MPI_BYTE, left, kBeatTag, comm_, &receive);
    }
    const double silent_s = std::chrono::duration<double>(now - heard).count();
    if (!reported && silent_s > options_.timeout_s) {
      reported = true;
      on_silence_(left, latest.host.data(), latest.activity.data(), silent_s);
    }
  }
  // Leave no request behind: one last beat lets the neighbour's posted receive end, and ours ends
  // with the neighbour's.
  MPI_Wait(&send, MPI_STATUS_IGNORE);
  MPI_Send(&outgoing, sizeof outgoing, MPI_BYTE, right, kBeatTag + 1, comm_);
  for (;;) {
    int done = 0;
    MPI_Test(&receive, &done, MPI_STATUS_IGNORE);
    if (done) MPI_Irecv(&incoming, sizeof incoming, MPI_BYTE, left, kBeatTag, comm_, &receive);
    int last = 0;
    MPI_Iprobe(left, kBeatTag + 1, comm_, &last, MPI_STATUS_IGNORE);
    if (last) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  Beat farewell;
  MPI_Recv(&farewell, sizeof farewell, MPI_BYTE, left, kBeatTag + 1, comm_, MPI_STATUS_IGNORE);
  // Every beat of the neighbour left before its farewell and messages between two ranks keep their
  // order per tag, not across tags: drain what may still be under way before the posted receive is
  // cancelled.
  for (int done = 1; done;) {
    MPI_Test(&receive, &done, MPI_STATUS_IGNORE);
    if (done) MPI_Irecv(&incoming, sizeof incoming, MPI_BYTE, left, kBeatTag, comm_, &receive);
  }
  MPI_Cancel(&receive);
  MPI_Wait(&receive, MPI_STATUS_IGNORE);
}

}  // namespace baleen
