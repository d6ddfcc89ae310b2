#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace baleen {

class MpiEnvironment;
struct DeviceLinkMeasure;

/// One thing that `baleen doctor` looked at.
struct Check {
  enum class Verdict {
    kGood,
    kNote,  ///< works, but the user should know
    kBad,   ///< Baleen will not work, or not safely, until it is mended
  };
  std::string name;  ///< "MPI", "file system", …
  Verdict verdict = Verdict::kGood;
  std::string finding;  ///< what was found; one line
  std::string remedy;   ///< what to do about it; empty when good
};

/// Versions and abilities of the libraries the program is linked to.
std::vector<Check> check_software();

/// Processors, memory, shared memory, limits.
std::vector<Check> check_machine();

/// Whether a run directory below `directory` would survive a crash: atomic replacement, sync,
/// locks, mapping, space.
std::vector<Check> check_storage(const std::filesystem::path& directory);

/// Starts MPI in a process of its own, so that a failure there ends that process only.
Check check_mpi_start();

/// The mpirun on the PATH, which must belong to the library.
Check check_mpirun();

/// [collective over the world] Where the ranks are, whether they have the same software, how fast
/// rank 0's messages reach the others, how far clocks are apart, and whether `directory` is one
/// place for all, with locks that hold between them.
/// @returns the checks on rank 0 of several; empty elsewhere
std::vector<Check> check_ranks(MpiEnvironment& mpi, const std::filesystem::path& directory);

/// Devices and the plugin that drives them.
Check check_accelerator();

/// All-reduces over NCCL between the devices of all ranks.
Check check_device_links(const DeviceLinkMeasure& links);

/// The checks as lines, what must be mended last.
std::string describe(const std::vector<Check>& checks);

}  // namespace baleen
