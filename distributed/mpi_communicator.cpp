#include "distributed/mpi_communicator.h"

#include <chrono>
#include <cstring>
#include <optional>
#include <thread>

#include "core/base/logging.h"
#include "distributed/mpi_call.h"

namespace baleen {
namespace {

/// What a wait in an MPI operation means to whoever reads of it.
const char* name_for_people(const char* operation) {
  const auto is = [operation](const char* name) { return std::strcmp(operation, name) == 0; };
  if (is("MPI_Ibarrier")) return "a barrier";
  if (is("MPI_Iallreduce")) return "an agreement of all ranks of its group";
  if (is("MPI_Ibcast")) return "a broadcast";
  return "a gather";
}

}  // namespace

MpiCommunicator::MpiCommunicator(MPI_Comm comm, std::vector<int> world_ranks,
                                 std::shared_ptr<Activity> activity)
    : comm_(comm), world_ranks_(std::move(world_ranks)), activity_(std::move(activity)) {
  check_mpi(MPI_Comm_rank(comm_, &rank_), "MPI_Comm_rank");
  check_mpi(MPI_Comm_size(comm_, &size_), "MPI_Comm_size");
}

MpiCommunicator::~MpiCommunicator() {
  if (comm_ != MPI_COMM_NULL) log_debug("a communicator of {} ranks was left open", size_);
}

void MpiCommunicator::wait(MPI_Request request, const char* operation) {
  std::optional<Activity::Waiting> waiting;
  wait_asleep(request, operation, std::chrono::milliseconds(2), [&] {
    if (!waiting && activity_) waiting.emplace(activity_.get(), name_for_people(operation));
  });
}

void MpiCommunicator::barrier() {
  MPI_Request request;
  check_mpi(MPI_Ibarrier(comm_, &request), "MPI_Ibarrier");
  wait(request, "MPI_Ibarrier");
}

bool MpiCommunicator::any(bool here) { return max(here ? 1 : 0) != 0; }

int64_t MpiCommunicator::max(int64_t value) {
  int64_t result = value;
  MPI_Request request;
  check_mpi(MPI_Iallreduce(&value, &result, 1, MPI_INT64_T, MPI_MAX, comm_, &request),
            "MPI_Iallreduce");
  wait(request, "MPI_Iallreduce");
  return result;
}

namespace {

/// Offsets of rank-ordered pieces in one buffer; MPI 3 counts in int, so that a gather of 2 GiB or
/// more is refused.
std::vector<int> displacements_of(const std::vector<int>& counts, const char* operation) {
  std::vector<int> displacements(counts.size());
  int64_t offset = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    displacements[i] = static_cast<int>(offset);
    offset += counts[i];
    if (offset > INT32_MAX) {
      throw Error(ErrorKind::kInternal, std::string(operation) + ": more than 2 GiB in one gather");
    }
  }
  return displacements;
}

std::vector<std::string> split(const std::string& all, const std::vector<int>& counts,
                               const std::vector<int>& displacements) {
  std::vector<std::string> parts;
  parts.reserve(counts.size());
  for (size_t i = 0; i < counts.size(); ++i) {
    parts.push_back(
        all.substr(static_cast<size_t>(displacements[i]), static_cast<size_t>(counts[i])));
  }
  return parts;
}

int checked_count(size_t bytes, const char* operation) {
  if (bytes > INT32_MAX) {
    throw Error(ErrorKind::kInternal, std::string(operation) + ": more than 2 GiB in one message");
  }
  return static_cast<int>(bytes);
}

}  // namespace

std::vector<std::string> MpiCommunicator::all_gather(const std::string& bytes) {
  const int mine = checked_count(bytes.size(), "all_gather");
  std::vector<int> counts(static_cast<size_t>(size_));
  MPI_Request request;
  check_mpi(MPI_Iallgather(&mine, 1, MPI_INT, counts.data(), 1, MPI_INT, comm_, &request),
            "MPI_Iallgather");
  wait(request, "MPI_Iallgather");
  const std::vector<int> displacements = displacements_of(counts, "all_gather");
  std::string all(static_cast<size_t>(displacements.back() + counts.back()), '\0');
  check_mpi(MPI_Iallgatherv(bytes.data(), mine, MPI_BYTE, all.data(), counts.data(),
                            displacements.data(), MPI_BYTE, comm_, &request),
            "MPI_Iallgatherv");
  wait(request, "MPI_Iallgatherv");
  return split(all, counts, displacements);
}

std::vector<std::string> MpiCommunicator::gather(const std::string& bytes, int root) {
  const int mine = checked_count(bytes.size(), "gather");
  std::vector<int> counts(static_cast<size_t>(size_));
  MPI_Request request;
  check_mpi(MPI_Igather(&mine, 1, MPI_INT, counts.data(), 1, MPI_INT, root, comm_, &request),
            "MPI_Igather");
  wait(request, "MPI_Igather");
  if (rank_ != root) {
    check_mpi(MPI_Igatherv(bytes.data(), mine, MPI_BYTE, nullptr, nullptr, nullptr, MPI_BYTE, root,
                           comm_, &request),
              "MPI_Igatherv");
    wait(request, "MPI_Igatherv");
    return {};
  }
  const std::vector<int> displacements = displacements_of(counts, "gather");
  std::string all(static_cast<size_t>(displacements.back() + counts.back()), '\0');
  check_mpi(MPI_Igatherv(bytes.data(), mine, MPI_BYTE, all.data(), counts.data(),
                         displacements.data(), MPI_BYTE, root, comm_, &request),
            "MPI_Igatherv");
  wait(request, "MPI_Igatherv");
  return split(all, counts, displacements);
}

std::string MpiCommunicator::broadcast(const std::string& bytes, int root) {
  int64_t length = static_cast<int64_t>(bytes.size());
  MPI_Request request;
  check_mpi(MPI_Ibcast(&length, 1, MPI_INT64_T, root, comm_, &request), "MPI_Ibcast");
  wait(request, "MPI_Ibcast");
  std::string result = rank_ == root ? bytes : std::string(static_cast<size_t>(length), '\0');
  check_mpi(MPI_Ibcast(result.data(), checked_count(result.size(), "broadcast"), MPI_BYTE, root,
                       comm_, &request),
            "MPI_Ibcast");
  wait(request, "MPI_Ibcast");
  return result;
}

void MpiCommunicator::close() {
  if (comm_ == MPI_COMM_NULL) return;
  check_mpi(MPI_Comm_free(&comm_), "MPI_Comm_free");
  comm_ = MPI_COMM_NULL;
}

}  // namespace baleen
