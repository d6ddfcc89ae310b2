#include "core/base/launch_place.h"

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <optional>

namespace baleen {
namespace {

/// A variable's value, or nothing where it is missing or no natural number.
std::optional<int> natural(const char* variable) {
  const char* text = std::getenv(variable);
  if (!text || !*text) return std::nullopt;
  int value = 0;
  const char* end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, value);
  if (error != std::errc{} || stop != end || value < 0) return std::nullopt;
  return value;
}

std::optional<int> first_natural(std::initializer_list<const char*> variables) {
  for (const char* variable : variables) {
    if (const auto value = natural(variable)) return value;
  }
  return std::nullopt;
}

/// How one launcher tells a process where it stands.
struct Launcher {
  const char* name;
  const char* rank;
  const char* size;
};

// Open MPI; PMI as spoken by MPICH, Hydra and some plugins of srun; PMIx as spoken by srun, which
// says the size in a variable of its own; srun without either; torchrun.
constexpr Launcher kLaunchers[] = {
    {"mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
    {"PMI", "PMI_RANK", "PMI_SIZE"},
    {"srun --mpi=pmix", "PMIX_RANK", "SLURM_STEP_NUM_TASKS"},
    {"srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS"},
    {"torchrun", "RANK", "WORLD_SIZE"},
};

int local_size_by_slurm() {
  const char* counts = std::getenv("SLURM_STEP_TASKS_PER_NODE");
  const auto node = natural("SLURM_NODEID");
  return counts && node ? nth_of_slurm_counts(counts, *node) : 0;
}

}  // namespace

int nth_of_slurm_counts(const std::string& text, int index) {
  const char* at = text.c_str();
  while (*at) {
    char* end = nullptr;
    const long count = std::strtol(at, &end, 10);
    if (end == at || count < 0) return 0;
    long repeats = 1;
    if (std::strncmp(end, "(x", 2) == 0) {
      const char* number = end + 2;
      repeats = std::strtol(number, &end, 10);
      if (end == number || *end != ')') return 0;
      ++end;
    }
    if (index < repeats) return static_cast<int>(count);
    index -= static_cast<int>(repeats);
    if (*end && *end != ',') return 0;
    at = *end ? end + 1 : end;
  }
  return 0;
}

LaunchPlace launch_place() {
  LaunchPlace place;
  // A device is chosen by this number even where the rank is not known.
  place.local_rank = first_natural({"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID",
                                    "PMI_LOCAL_RANK", "SLURM_LOCALID", "LOCAL_RANK"})
                         .value_or(0);
  for (const Launcher& launcher : kLaunchers) {
    const auto rank = natural(launcher.rank);
    const auto size = natural(launcher.size);
    if (!rank || !size || *rank >= *size) continue;
    place.rank = *rank;
    place.world_size = *size;
    place.launched = true;
    place.launcher = launcher.name;
    break;
  }
  place.local_size =
      first_natural({"OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS", "PMI_LOCAL_SIZE"})
          .value_or(0);
  if (place.local_size == 0) place.local_size = local_size_by_slurm();
  if (place.local_size == 0) place.local_size = natural("LOCAL_WORLD_SIZE").value_or(0);
  return place;
}

}  // namespace baleen
