#pragma once

#include <ATen/Parallel.h>

#include <cstdio>

#include "core/base/error.h"
#include "core/base/memory.h"
#include "distributed/communicator.h"

namespace baleen {

/// The main() of a benchmark that runs under mpirun: `parse(argc, argv)` gives its arguments, among
/// them `threads`; `measure(arguments, mpi)` prints what it finds. What is thrown ends all ranks.
template <class Parse, class Measure>
int benchmark_main(int argc, char** argv, Parse&& parse, Measure&& measure) {
  keep_freed_memory();
  auto mpi = MpiEnvironment::start(argc, argv);
  try {
    const auto arguments = parse(argc, argv);
    at::set_num_threads(static_cast<int>(arguments.threads));
    measure(arguments, *mpi);
  } catch (...) {
    std::fprintf(stderr, "%s\n", current_error().what());
    mpi->abort(1);
  }
  mpi->finish();
  return 0;
}

}  // namespace baleen
