#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace baleen {

/// What the caller knows about this start and this room can't see.
struct StartFacts {
  std::string mpi_library;         ///< version string of the MPI library
  std::vector<std::string> hosts;  ///< host of every rank, in rank order
  int threads_per_rank = 1;
  std::string device = "cpu";
  std::string command_line;
  std::map<std::string, std::string> plugins;  ///< digest by file
};

/// The machine and software of this process as a JSON object: versions of Baleen, LibTorch, MPI and
/// compiler, processor, cores, memory, ranks per host, thread settings, scheduler job. Nothing
/// personal, nothing secret: of the environment only variables that steer threads, MPI and the
/// scheduler.
std::string describe_environment(const StartFacts& facts);

/// Adds this start to env.json ({"starts": [...]}, one entry per start of the run, oldest first),
/// atomically. Rank 0 only.
/// @return sentences about differences to the first start that can change bits of the results
/// (processor, LibTorch, compiler, threads per rank, plug-ins); empty: none
/// @throws Error kStorage.
std::vector<std::string> record_environment(const std::filesystem::path& file,
                                            const StartFacts& facts);

/// Version of Baleen, "0.1.0".
std::string baleen_version();

}  // namespace baleen
