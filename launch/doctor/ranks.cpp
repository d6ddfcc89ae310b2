#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/base/atomic_file.h"
#include "core/base/file_descriptor.h"
#include "core/base/format.h"
#include "core/base/launch_place.h"
#include "data/library_versions.h"
#include "distributed/communicator.h"
#include "distributed/library_versions.h"
#include "distributed/link_test.h"
#include "experiments/environment.h"
#include "launch/doctor/check.h"

namespace baleen {
namespace {

using nlohmann::json;
using Verdict = Check::Verdict;

constexpr double kSlowBytesPerS = 100e6;  // a gigabit network carries 117 MB/s
constexpr double kSkewS = 1.0;            // logs of several hosts are still read in order
constexpr double kVisibleLimitS = 5;

/// What one rank tells the first.
json facts_of(MpiEnvironment& mpi) {
  const LaunchPlace place = launch_place();
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  sched_getaffinity(0, sizeof allowed, &allowed);
  return {{"host", mpi.host()},
          {"baleen", baleen_version()},
          {"mpi", mpi_library_version()},
          {"hdf5", hdf5_library_version()},
          {"processors", CPU_COUNT(&allowed)},
          {"local_rank", place.local_rank}};
}

Check check_places(const std::vector<json>& ranks) {
  Check check{"ranks"};
  std::map<std::string, int> per_host;
  for (const json& rank : ranks) ++per_host[rank["host"]];
  check.finding = fmt::format("{} on {} host{}:", ranks.size(), per_host.size(),
                              per_host.size() == 1 ? "" : "s");
  for (const auto& [host, count] : per_host) check.finding += fmt::format(" {}×{}", host, count);
  std::map<std::string, int> fewest;
  for (const json& rank : ranks) {
    const int processors = rank["processors"];
    const auto [at, is_new] = fewest.emplace(rank["host"], processors);
    if (!is_new) at->second = std::min(at->second, processors);
  }
  for (const auto& [host, processors] : fewest) {
    // One processor each although several ranks are there means that all are bound to a core.
    if (processors > 1 || per_host[host] < 2) continue;
    check.verdict = Verdict::kNote;
    check.remedy = fmt::format(
        "ranks on {} are bound to one processor each: their loaders have no other; "
        "mpirun --bind-to none, or baleen launch",
        host);
  }
  return check;
}

Check check_same_software(const std::vector<json>& ranks) {
  Check check{"same software"};
  for (const char* what : {"baleen", "mpi", "hdf5"}) {
    for (size_t r = 1; r < ranks.size(); ++r) {
      if (ranks[r][what] == ranks[0][what]) continue;
      check.verdict = Verdict::kBad;
      check.finding =
          fmt::format("{} is {} on {} and {} on {}", what, ranks[0][what].get<std::string>(),
                      ranks[0]["host"].get<std::string>(), ranks[r][what].get<std::string>(),
                      ranks[r]["host"].get<std::string>());
      check.remedy = "install the same on every host, or keep it on a shared file system";
      return check;
    }
  }
  check.finding = "every rank has the same Baleen, MPI and HDF5";
  return check;
}

Check check_links(const std::vector<LinkMeasure>& links) {
  Check check{"links"};
  const auto slowest =
      std::min_element(links.begin(), links.end(),
                       [](const auto& a, const auto& b) { return a.bytes_per_s < b.bytes_per_s; });
  const auto farthest = std::max_element(
      links.begin(), links.end(),
      [](const auto& a, const auto& b) { return a.round_trip_us < b.round_trip_us; });
  check.finding = fmt::format(
      "from rank 0 to {} others: at least {}/s (rank {} on {}), round trips of at most {:.0f} µs "
      "(rank {} on {})",
      links.size(), format_bytes(static_cast<uint64_t>(slowest->bytes_per_s)), slowest->rank,
      slowest->host, farthest->round_trip_us, farthest->rank, farthest->host);
  if (slowest->bytes_per_s < kSlowBytesPerS) {
    check.verdict = Verdict::kNote;
    check.remedy =
        "slower than a gigabit network: chains on several ranks will wait; choose the fast "
        "network with --mca btl_tcp_if_include DEVICE, or keep logical_shards at 1";
  }
  return check;
}

Check check_clocks(const std::vector<LinkMeasure>& links) {
  Check check{"clocks"};
  const auto worst = std::max_element(links.begin(), links.end(), [](const auto& a, const auto& b) {
    return std::abs(a.clock_offset_s) < std::abs(b.clock_offset_s);
  });
  check.finding = fmt::format("at most {:.1f} ms apart (rank {} on {})",
                              1e3 * std::abs(worst->clock_offset_s), worst->rank, worst->host);
  if (std::abs(worst->clock_offset_s) > kSkewS) {
    check.verdict = Verdict::kNote;
    check.remedy = "times in logs of several hosts won't fit: start an NTP client there";
  }
  return check;
}

/// The same folder on every rank, and a lock that one rank holds keeps the others out.
class SharedFolderTrial {
 public:
  SharedFolderTrial(const std::filesystem::path& directory, Communicator& world) : world_(world) {
    std::string name;
    if (world.rank() == 0) {
      std::string pattern = (directory / ".baleen-doctor-XXXXXX").string();
      if (mkdtemp(pattern.data())) name = std::filesystem::absolute(pattern).string();
    }
    folder_ = world.broadcast(name, 0);
  }
  ~SharedFolderTrial() {
    std::error_code ignored;
    if (world_.rank() == 0 && !folder_.empty()) std::filesystem::remove_all(folder_, ignored);
  }
  SharedFolderTrial(const SharedFolderTrial&) = delete;
  SharedFolderTrial& operator=(const SharedFolderTrial&) = delete;

  /// [collective] What this rank sees: "", "hidden" or "unlocked".
  std::string look() {
    UniqueFileDescriptor held;
    if (world_.rank() == 0 && !folder_.empty()) {
      write_file_atomically(lock_file(), "held");
      held = lock();
    }
    world_.barrier();
    std::string verdict;
    if (world_.rank() > 0 && !folder_.empty()) {
      if (!appears()) {
        verdict = "hidden";
      } else if (lock()) {
        verdict = "unlocked";
      }
    }
    world_.barrier();
    return verdict;
  }

 private:
  std::filesystem::path lock_file() const { return std::filesystem::path(folder_) / "lock"; }

  bool appears() const {
    const auto until =
        std::chrono::steady_clock::now() + std::chrono::duration<double>(kVisibleLimitS);
    while (std::chrono::steady_clock::now() < until) {
      std::error_code ignored;
      if (std::filesystem::exists(lock_file(), ignored)) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return false;
  }

  /// The lock of run directories (core/base/lock_file.h); nothing where another has it.
  UniqueFileDescriptor lock() const {
    UniqueFileDescriptor file(::open(lock_file().c_str(), O_RDWR | O_CLOEXEC));
    struct flock request {};
    request.l_type = F_WRLCK;
    request.l_whence = SEEK_SET;
    if (!file || fcntl(file.get(), F_OFD_SETLK, &request) != 0) return UniqueFileDescriptor();
    return file;
  }

  Communicator& world_;
  std::string folder_;
};

Check check_shared_folder(const std::vector<json>& ranks, const std::filesystem::path& directory) {
  Check check{"shared folder"};
  check.finding =
      fmt::format("every rank sees {}, and one at a time can lock it", directory.string());
  for (size_t r = 1; r < ranks.size(); ++r) {
    const std::string seen = ranks[r]["folder"];
    if (seen.empty()) continue;
    check.verdict = Verdict::kBad;
    const std::string host = ranks[r]["host"];
    if (seen == "hidden") {
      check.finding = fmt::format("rank {} on {} does not see files that rank 0 writes to {}", r,
                                  host, directory.string());
      check.remedy = "run directories belong on a file system that all hosts share: --dir PATH";
    } else {
      check.finding = fmt::format("rank {} on {} can lock a file that rank 0 has locked", r, host);
      check.remedy =
          "two jobs could write to one run directory: mount with locks between hosts (NFS: without "
          "nolock, local_lock=none; Lustre: flock)";
    }
    return check;
  }
  return check;
}

}  // namespace

std::vector<Check> check_ranks(MpiEnvironment& mpi, const std::filesystem::path& directory) {
  const auto world = mpi.world();
  json mine = facts_of(mpi);
  mine["folder"] = SharedFolderTrial(directory, *world).look();
  std::vector<json> ranks;
  std::vector<std::string> hosts;
  for (const std::string& text : world->all_gather(mine.dump())) {
    ranks.push_back(json::parse(text));
    hosts.push_back(ranks.back()["host"]);
  }
  const std::vector<LinkMeasure> links = measure_links(*world, hosts);
  if (world->rank() > 0 || links.empty()) return {};
  return {check_places(ranks), check_same_software(ranks), check_links(links), check_clocks(links),
          check_shared_folder(ranks, directory)};
}

}  // namespace baleen
