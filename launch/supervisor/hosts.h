#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace baleen {

/// A machine and how many ranks it takes.
struct HostSlots {
  std::string name;  ///< as it was given: a name or an address
  int slots = 1;
  bool operator==(const HostSlots&) const = default;
};

/// "a:2,b:4" as mpirun's -H has it; a host without a number takes one rank.
/// @throws Error kUsage naming the part that is wrong, or a host that occurs twice.
std::vector<HostSlots> parse_hosts(const std::string& text);

/// A hostfile as mpirun reads it: "name slots=4" per line, # begins a comment.
/// @throws Error kUsage with file and line where slots are missing or something is not understood;
/// kData where there is no such file.
std::vector<HostSlots> read_hostfile(const std::filesystem::path& file);

/// "a:2,b:4"
std::string print_hosts(const std::vector<HostSlots>& hosts);

int num_slots(const std::vector<HostSlots>& hosts);

/// Whether this name or address is this very machine's.
bool is_this_host(const std::string& name);

/// The hosts on which `answers` says true, asked side by side, in their order. This machine is not
/// asked: it is there.
std::vector<HostSlots> hosts_that_answer(const std::vector<HostSlots>& hosts,
                                         const std::function<bool(const std::string&)>& answers);

}  // namespace baleen
