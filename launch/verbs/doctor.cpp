#include <CLI/App.hpp>
#include <algorithm>
#include <cstdio>

#include "distributed/device_link_test.h"
#include "launch/doctor/check.h"
#include "launch/process.h"
#include "launch/verbs/verbs.h"

namespace baleen {
namespace {

constexpr int kSomethingToMend = 1;

int examine(const std::string& directory, MpiEnvironment* mpi) {
  std::vector<Check> of_ranks;
  if (mpi) of_ranks = check_ranks(*mpi, directory);
  if (launch_place().rank > 0) {  // one report per job
    measure_device_links(mpi);
    return 0;
  }
  // MPI first: its trial is a fork, which is best done before any library has made threads.
  const Check mpi_start = check_mpi_start();
  std::vector<Check> checks = check_software();
  checks.push_back(check_mpirun());
  checks.push_back(mpi_start);
  for (Check& check : of_ranks) checks.push_back(std::move(check));
  for (Check& check : check_machine()) checks.push_back(std::move(check));
  for (Check& check : check_storage(directory)) checks.push_back(std::move(check));
  checks.push_back(check_accelerator());
  checks.push_back(check_device_links(measure_device_links(mpi)));
  std::fputs(describe(checks).c_str(), stdout);
  const bool bad = std::any_of(checks.begin(), checks.end(), [](const Check& check) {
    return check.verdict == Check::Verdict::kBad;
  });
  return bad ? kSomethingToMend : 0;
}

}  // namespace

Verb make_doctor_verb() {
  Verb verb;
  verb.name = "doctor";
  verb.summary = "check libraries, MPI, memory, disk and GPU, and say what to mend";
  verb.examples =
      "  baleen doctor --dir /scratch/me               the file system that runs will be kept on\n"
      "  mpirun -n 4 baleen doctor --dir /scratch/me   links between ranks and GPUs, clocks, locks";
  verb.shares_work = true;
  auto directory = std::make_shared<std::string>(".");
  verb.declare_options = [directory](CLI::App& app) {
    app.add_option("--dir", *directory,
                   "folder whose file system is examined; default: the current one")
        ->option_text("PATH");
  };
  verb.run = [directory](VerbContext& context) { return examine(*directory, context.mpi); };
  return verb;
}

}  // namespace baleen
