#include "distributed/watchdog.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstring>
#include <fstream>
#include <map>
#include <vector>

#include "core/base/logging.h"
#include "distributed/mpi_call.h"

namespace baleen {
namespace {

using Clock = std::chrono::steady_clock;

/// What a rank does, on the wire: fixed size so that the receive can be posted ahead.
using Words = std::array<char, 256>;

template <size_t N>
void copy_text(std::array<char, N>& to, const std::string& from) {
  const size_t length = std::min(from.size(), N - 1);
  std::memcpy(to.data(), from.data(), length);
  to[length] = '\0';
}

constexpr int kBeatTag = 1;
constexpr int kFarewellTag = 2;
constexpr int kQuestionTag = 3;
constexpr int kAnswerTag = 4;
constexpr int kLeavingTag = 5;
constexpr int kMeetingTag = 6;

constexpr auto kNap = std::chrono::milliseconds(50);

/// Ticks at which a process of this host began; 0: there is none, or it has ended and waits to be
/// buried.
int64_t birth_of(int64_t process) {
  std::ifstream file(fmt::format("/proc/{}/stat", process));
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const size_t name_end = text.rfind(')');  // the name in parentheses may hold anything
  if (name_end == std::string::npos || name_end + 2 >= text.size()) return 0;
  const char state = text[name_end + 2];
  if (state == 'Z' || state == 'X') return 0;
  size_t at = name_end + 2;
  for (int field = 3; field < 22; ++field) {
    at = text.find(' ', at);
    if (at == std::string::npos) return 0;
    ++at;
  }
  return std::strtoll(text.c_str() + at, nullptr, 10);
}

/// Names this process's table of processes: that of its container on this boot of this kernel.
/// Empty where that can't be told.
std::string process_table() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string boot;
  struct stat space {};
  if (!std::getline(file, boot) || stat("/proc/self/ns/pid", &space) != 0) return {};
  return fmt::format("{}/{}", boot, space.st_ino);
}

double seconds_between(Clock::time_point start, Clock::time_point end) {
  return std::chrono::duration<double>(end - start).count();
}

/// "ranks 0, 2 and 3: training a, waiting in …", one line per text.
std::string grouped(const std::map<std::string, std::vector<int>>& by_text) {
  constexpr size_t kMostLines = 12;
  std::string lines;
  size_t count = 0;
  for (const auto& [text, ranks] : by_text) {
    if (++count > kMostLines) return lines + "\n  …";
    std::string names;
    for (size_t i = 0; i < ranks.size() && i < 16; ++i)
      names += (i == 0 ? "" : ", ") + std::to_string(ranks[i]);
    if (ranks.size() > 16) names += fmt::format(" and {} more", ranks.size() - 16);
    lines += fmt::format("{}rank{} {}: {}", lines.empty() ? "" : "; ", ranks.size() > 1 ? "s" : "",
                         names, text);
  }
  return lines;
}

}  // namespace

struct Watchdog::Ring {
  int rank = 0;
  int size = 1;
  int right = 0;
  int left = 0;
  Words incoming{}, outgoing{}, latest{};
  MPI_Request receive = MPI_REQUEST_NULL;
  MPI_Request send = MPI_REQUEST_NULL;
  Words answer{};
  MPI_Request answering = MPI_REQUEST_NULL;
  bool visible = false;  ///< the neighbour's process can be seen from here
};

Watchdog::Watchdog(MPI_Comm comm, std::string host, Options options,
                   std::shared_ptr<Activity> activity, OnAlarm on_alarm, OnStall on_stall)
    : comm_(comm),
      host_(std::move(host)),
      options_(options),
      activity_(std::move(activity)),
      on_alarm_(std::move(on_alarm)),
      on_stall_(std::move(on_stall)) {
  int size = 1;
  check_mpi(MPI_Comm_size(comm_, &size), "MPI_Comm_size");
  if (size > 1) meet();
  if (options_.timeout_s > 0 && (size > 1 || on_stall_)) thread_ = std::thread([this] { loop(); });
}

void Watchdog::meet() {
  int rank = 0;
  int size = 1;
  check_mpi(MPI_Comm_rank(comm_, &rank), "MPI_Comm_rank");
  check_mpi(MPI_Comm_size(comm_, &size), "MPI_Comm_size");
  Identity own;
  copy_text(own.host, host_);
  copy_text(own.processes, process_table());
  own.process = getpid();
  own.born = birth_of(getpid());
  check_mpi(
      MPI_Sendrecv(&own, sizeof own, MPI_BYTE, (rank + 1) % size, kMeetingTag, &left_, sizeof left_,
                   MPI_BYTE, (rank + size - 1) % size, kMeetingTag, comm_, MPI_STATUS_IGNORE),
      "MPI_Sendrecv");
}

Watchdog::~Watchdog() {
  stop_ = true;
  if (thread_.joinable()) thread_.join();
}

void Watchdog::announce_leaving() noexcept {
  int rank = 0;
  int size = 1;
  MPI_Comm_rank(comm_, &rank);
  MPI_Comm_size(comm_, &size);
  if (size < 2 || !thread_.joinable()) return;
  MPI_Request request = MPI_REQUEST_NULL;
  MPI_Isend(nullptr, 0, MPI_BYTE, (rank + 1) % size, kLeavingTag, comm_, &request);
  int done = 0;
  MPI_Test(&request, &done, MPI_STATUS_IGNORE);
}

void Watchdog::close() {
  stop_ = true;
  if (thread_.joinable()) thread_.join();
  check_mpi(MPI_Comm_free(&comm_), "MPI_Comm_free");
}

void Watchdog::look_at_own_work() {
  if (!on_stall_) return;
  const Activity::State now = activity_->state();
  if (now.limit_s <= 0 || now.working_s <= now.limit_s || now.number == stalled_work_) return;
  stalled_work_ = now.number;
  on_stall_({now.work, now.collective, now.working_s, now.limit_s});
}

void Watchdog::loop() {
  Ring ring;
  MPI_Comm_rank(comm_, &ring.rank);
  MPI_Comm_size(comm_, &ring.size);
  if (ring.size == 1) {
    while (!stop_) {
      std::this_thread::sleep_for(kNap);
      look_at_own_work();
    }
    return;
  }
  ring.right = (ring.rank + 1) % ring.size;
  ring.left = (ring.rank + ring.size - 1) % ring.size;
  ring.visible = left_.host.data() == host_ && left_.born != 0 &&
                 left_.processes.data() == process_table() && !process_table().empty();
  MPI_Irecv(ring.incoming.data(), sizeof ring.incoming, MPI_BYTE, ring.left, kBeatTag, comm_,
            &ring.receive);
  auto heard = Clock::now();
  auto woke = Clock::now();
  auto next_beat = Clock::now();
  bool reported = false;
  while (!stop_) {
    std::this_thread::sleep_for(kNap);
    const auto now = Clock::now();
    // This very process may have been stopped or starved: then silence proves nothing, and the
    // neighbour gets a fresh term.
    if (seconds_between(woke, now) > options_.timeout_s / 2) heard = now;
    woke = now;
    int done = 0;
    if (now >= next_beat) {
      MPI_Test(&ring.send, &done, MPI_STATUS_IGNORE);
      if (done) {  // the neighbour took the last one: a stopped neighbour is not flooded
        copy_text(ring.outgoing, activity_->describe());
        MPI_Isend(ring.outgoing.data(), sizeof ring.outgoing, MPI_BYTE, ring.right, kBeatTag, comm_,
                  &ring.send);
      }
      next_beat = now + std::chrono::duration_cast<Clock::duration>(
                            std::chrono::duration<double>(options_.interval_s));
      look_at_own_work();
    }
    for (MPI_Test(&ring.receive, &done, MPI_STATUS_IGNORE); done;
         MPI_Test(&ring.receive, &done, MPI_STATUS_IGNORE)) {
      ring.latest = ring.incoming;
      heard = now;
      MPI_Irecv(ring.incoming.data(), sizeof ring.incoming, MPI_BYTE, ring.left, kBeatTag, comm_,
                &ring.receive);
    }
    answer_questions(ring);
    if (reported) continue;
    PeerAlarm alarm;
    alarm.silent_s = seconds_between(heard, now);
    alarm.gone = ring.visible && birth_of(left_.process) != left_.born;
    if (!alarm.gone && alarm.silent_s <= options_.timeout_s) continue;
    int leaving = 0;
    MPI_Iprobe(ring.left, kLeavingTag, comm_, &leaving, MPI_STATUS_IGNORE);
    if (stop_) break;
    reported = true;
    if (alarm.gone && leaving) continue;  // it said why, and ends us too
    alarm.rank = ring.left;
    alarm.host = left_.host.data();
    alarm.process = left_.process;
    alarm.activity = ring.latest.data();
    on_alarm_(ask_others(ring, std::move(alarm)));
  }
  end_ring(ring);
}

PeerAlarm Watchdog::ask_others(Ring& ring, PeerAlarm alarm) const {
  std::map<std::string, std::vector<int>> by_text;
  by_text[activity_->describe()].push_back(ring.rank);
  int missing = 0;
  for (int rank = 0; rank < ring.size; ++rank) {
    if (rank == ring.rank || rank == ring.left) continue;
    MPI_Request request = MPI_REQUEST_NULL;
    MPI_Isend(nullptr, 0, MPI_BYTE, rank, kQuestionTag, comm_, &request);
    MPI_Request_free(&request);
    ++missing;
  }
  // Who launched the job may already be ending it: what is known soon is worth more than all.
  const double patience_s = alarm.gone ? std::min(options_.answers_s, 0.3) : options_.answers_s;
  const auto start = Clock::now();
  while (missing > 0 && seconds_between(start, Clock::now()) < patience_s) {
    int found = 0;
    MPI_Status status;
    MPI_Iprobe(MPI_ANY_SOURCE, kAnswerTag, comm_, &found, &status);
    if (!found) {
      answer_questions(ring);
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      continue;
    }
    Words answer{};
    MPI_Recv(answer.data(), static_cast<int>(answer.size()), MPI_BYTE, status.MPI_SOURCE,
             kAnswerTag, comm_, MPI_STATUS_IGNORE);
    answer.back() = '\0';
    by_text[answer.data()].push_back(status.MPI_SOURCE);
    --missing;
  }
  alarm.others = grouped(by_text);
  if (missing > 0) alarm.others += fmt::format("; no word from {} more", missing);
  return alarm;
}

void Watchdog::answer_questions(Ring& ring) const {
  int found = 0;
  MPI_Status status;
  MPI_Iprobe(MPI_ANY_SOURCE, kQuestionTag, comm_, &found, &status);
  if (!found) return;
  MPI_Recv(nullptr, 0, MPI_BYTE, status.MPI_SOURCE, kQuestionTag, comm_, MPI_STATUS_IGNORE);
  int done = 1;
  if (ring.answering != MPI_REQUEST_NULL) MPI_Test(&ring.answering, &done, MPI_STATUS_IGNORE);
  if (!done) return;
  const std::string text = activity_->describe();
  log_warning("rank {} misses a rank; this one is at: {}", status.MPI_SOURCE, text);
  copy_text(ring.answer, text);
  MPI_Isend(ring.answer.data(), static_cast<int>(ring.answer.size()), MPI_BYTE, status.MPI_SOURCE,
            kAnswerTag, comm_, &ring.answering);
}

void Watchdog::end_ring(Ring& ring) const {
  // Leave no request behind: one last beat lets the neighbour's posted receive end, and ours ends
  // with the neighbour's.
  MPI_Wait(&ring.send, MPI_STATUS_IGNORE);
  MPI_Send(ring.outgoing.data(), sizeof ring.outgoing, MPI_BYTE, ring.right, kFarewellTag, comm_);
  const auto drain = [&] {
    for (int done = 1; done;) {
      MPI_Test(&ring.receive, &done, MPI_STATUS_IGNORE);
      if (done)
        MPI_Irecv(ring.incoming.data(), sizeof ring.incoming, MPI_BYTE, ring.left, kBeatTag, comm_,
                  &ring.receive);
    }
  };
  for (;;) {
    drain();
    int last = 0;
    MPI_Iprobe(ring.left, kFarewellTag, comm_, &last, MPI_STATUS_IGNORE);
    if (last) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  Words farewell{};
  MPI_Recv(farewell.data(), sizeof farewell, MPI_BYTE, ring.left, kFarewellTag, comm_,
           MPI_STATUS_IGNORE);
  // Every beat of the neighbour left before its farewell and messages between two ranks keep their
  // order per tag, not across tags: drain what may still be under way before the posted receive is
  // cancelled.
  drain();
  MPI_Cancel(&ring.receive);
  MPI_Wait(&ring.receive, MPI_STATUS_IGNORE);
}

}  // namespace baleen
