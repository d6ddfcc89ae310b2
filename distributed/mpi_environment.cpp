#include <mpi.h>

#include <numeric>

#include "core/base/host_name.h"
#include "core/base/logging.h"
#include "distributed/communicator.h"
#include "distributed/mpi_call.h"
#include "distributed/mpi_communicator.h"
#include "distributed/mpi_control_channel.h"
#include "distributed/watchdog.h"

namespace baleen {

struct MpiEnvironment::State {
  int rank = 0;
  int size = 1;
  std::string host;
  std::shared_ptr<MpiCommunicator> world;
  std::shared_ptr<MpiControlChannel> control;
  MPI_Comm watch_comm = MPI_COMM_NULL;
  std::shared_ptr<Activity> activity = std::make_shared<Activity>();
  std::unique_ptr<Watchdog> watchdog;
};

namespace {

MPI_Comm duplicate_world() {
  MPI_Comm comm = MPI_COMM_NULL;
  check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &comm), "MPI_Comm_dup");
  check_mpi(MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  return comm;
}

}  // namespace

MpiEnvironment::MpiEnvironment() : state_(std::make_unique<State>()) {}
MpiEnvironment::~MpiEnvironment() = default;

std::unique_ptr<MpiEnvironment> MpiEnvironment::start(int& argc, char**& argv) {
  int granted = MPI_THREAD_SINGLE;
  check_mpi(MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &granted), "MPI_Init_thread");
  if (granted < MPI_THREAD_MULTIPLE) {
    throw Error(ErrorKind::kCommunication, "this MPI grants no MPI_THREAD_MULTIPLE",
                "use an MPI built with thread support; `baleen doctor` shows what is found");
  }
  std::unique_ptr<MpiEnvironment> environment(new MpiEnvironment);
  State& state = *environment->state_;
  check_mpi(MPI_Comm_rank(MPI_COMM_WORLD, &state.rank), "MPI_Comm_rank");
  check_mpi(MPI_Comm_size(MPI_COMM_WORLD, &state.size), "MPI_Comm_size");
  check_mpi(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  state.host = host_name();
  std::vector<int> ranks(static_cast<size_t>(state.size));
  std::iota(ranks.begin(), ranks.end(), 0);
  state.world = std::make_shared<MpiCommunicator>(duplicate_world(), ranks, state.activity);
  state.control = std::make_shared<MpiControlChannel>(duplicate_world());
  state.watch_comm = duplicate_world();
  return environment;
}

int MpiEnvironment::rank() const { return state_->rank; }
int MpiEnvironment::size() const { return state_->size; }
const std::string& MpiEnvironment::host() const { return state_->host; }
std::shared_ptr<Communicator> MpiEnvironment::world() { return state_->world; }
std::shared_ptr<ControlChannel> MpiEnvironment::control() { return state_->control; }

std::shared_ptr<Communicator> MpiEnvironment::make_group(const std::vector<int>& members, int tag) {
  MPI_Group world_group = MPI_GROUP_NULL;
  MPI_Group group = MPI_GROUP_NULL;
  MPI_Comm comm = MPI_COMM_NULL;
  check_mpi(MPI_Comm_group(MPI_COMM_WORLD, &world_group), "MPI_Comm_group");
  check_mpi(MPI_Group_incl(world_group, static_cast<int>(members.size()), members.data(), &group),
            "MPI_Group_incl");
  check_mpi(MPI_Comm_create_group(MPI_COMM_WORLD, group, tag, &comm), "MPI_Comm_create_group");
  MPI_Group_free(&group);
  MPI_Group_free(&world_group);
  check_mpi(MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  return std::make_shared<MpiCommunicator>(comm, members, state_->activity);
}

void MpiEnvironment::watch(double timeout_s, std::function<void(const PeerAlarm&)> on_alarm,
                           std::function<void(const OwnStall&)> on_stall) {
  Watchdog::Options options;
  options.timeout_s = timeout_s;
  state_->watchdog =
      std::make_unique<Watchdog>(state_->watch_comm, state_->host, options, state_->activity,
                                 std::move(on_alarm), std::move(on_stall));
}

void MpiEnvironment::set_activity(std::string text, double limit_s) {
  state_->activity->set_work(std::move(text), limit_s);
}

void MpiEnvironment::finish() {
  if (state_->watchdog) {
    state_->watchdog->close();
    state_->watchdog.reset();
  } else {
    check_mpi(MPI_Comm_free(&state_->watch_comm), "MPI_Comm_free");
  }
  state_->control->close();
  state_->world->close();
  check_mpi(MPI_Finalize(), "MPI_Finalize");
}

void MpiEnvironment::abort(int code) {
  if (state_->watchdog) state_->watchdog->announce_leaving();
  MPI_Abort(MPI_COMM_WORLD, code);
  std::_Exit(code);  // MPI_Abort may return on some implementations
}

}  // namespace baleen
