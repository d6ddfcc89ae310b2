#include "launch/program.h"

#include <cstdio>

#include "core/base/host_name.h"
#include "core/base/memory.h"
#include "distributed/communicator.h"
#include "launch/binding.h"
#include "launch/command_line.h"
#include "launch/process.h"
#include "launch/signals.h"
#include "launch/wiring.h"

namespace baleen {
namespace {

void set_up_logging(const LaunchPlace& place, LogLevel level,
                    const std::filesystem::path& file = {}) {
  LogOptions options;
  options.rank = place.rank;
  options.world_size = place.world_size;
  options.host = host_name();
  options.console_level = level;
  options.file = file;
  configure_logging(options);
}

/// srun starts MPI's ranks only through a plugin that speaks their language; without it, each would
/// be a job of its own, or die with a page of Open MPI's words.
void require_mpi_launcher(const LaunchPlace& place) {
  if (place.launcher == "srun" && place.world_size > 1)
    throw Error(ErrorKind::kUsage,
                fmt::format("srun started {} tasks that MPI can't join", place.world_size),
                "srun --mpi=pmix (`srun --mpi=list` shows what there is), or mpirun");
}

/// Ranks that don't find each other would do the same work side by side.
void require_same_size(const LaunchPlace& place, const MpiEnvironment& mpi) {
  if (!place.launched || place.world_size == mpi.size()) return;
  throw Error(ErrorKind::kUsage,
              fmt::format("{} started {} processes, but MPI sees {}", place.launcher,
                          place.world_size, mpi.size()),
              place.launcher == "torchrun"
                  ? "ranks meet over MPI: start the program with mpirun or srun --mpi=pmix"
                  : "the launcher and the MPI library don't fit: use the mpirun of the MPI that "
                    "`baleen doctor` names");
}

/// Ends the job with the code of this rank's error. A rank without others closes MPI instead:
/// MPI_Abort would print a page about the processes that it ends, under the error that is to be
/// read.
int leave_after_error(MpiEnvironment* mpi, int code) {
  if (!mpi) return code;
  if (mpi->size() > 1) mpi->abort(code);
  try {
    mpi->finish();
  } catch (...) {
    mpi->abort(code);
  }
  return code;
}

/// This rank did nothing wrong: the one that did gets the time to say so and to end the job with
/// the code of its error.
int leave_after_peer(MpiEnvironment* mpi) {
  wait_for_peer();
  const int code = exit_code(ErrorKind::kCommunication);
  if (mpi) mpi->abort(code);
  return code;
}

}  // namespace

int run_program(int argc, char** argv, const std::function<void(Extensions&)>& extend) {
  keep_freed_memory();
  LaunchPlace place = launch_place();
  std::unique_ptr<MpiEnvironment> mpi;
  VerbContext context;
  try {
    set_up_logging(place, LogLevel::kInfo);
    context.command_line = quote_command_line(argc, argv);
    Extensions extensions = make_extensions();
    if (extend) extend(extensions);
    const std::vector<Verb> verbs = make_verbs();
    const Invocation invocation = parse_command_line(argc, argv, verbs);
    if (!invocation.verb) {
      if (place.rank == 0) std::fputs(invocation.text.c_str(), stdout);
      return 0;
    }
    if (invocation.verb->needs_mpi || (invocation.verb->shares_work && place.world_size > 1)) {
      require_mpi_launcher(place);
      const std::string binding = bind_to_numa_node(place);
      mpi = MpiEnvironment::start(argc, argv);
      require_same_size(place, *mpi);
      place.rank = mpi->rank();
      place.world_size = mpi->size();
      if (!binding.empty()) log_debug("{}", binding);
    }
    set_up_logging(place, invocation.log_level);
    context.log_to_file = [&](const std::filesystem::path& file) {
      set_up_logging(place, invocation.log_level, file);
    };
    context.extensions = &extensions;
    context.mpi = mpi.get();
    context.stop = invocation.verb->heeds_stop ? &install_stop_handlers() : &never_stopped();
    const int code = invocation.verb->run(context);
    if (mpi) mpi->finish();
    return code;
  } catch (const PeerFailed&) {
    return leave_after_peer(mpi.get());
  } catch (...) {
    const Error error = current_error();
    report_error(error, place);
    if (context.on_failure) context.on_failure(error);
    return leave_after_error(mpi.get(), exit_code(error.kind()));
  }
}

}  // namespace baleen
