#include "launch/supervisor/hosts.h"

#include <fmt/format.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <unistd.h>

#include <charconv>
#include <cstring>
#include <future>
#include <memory>
#include <sstream>

#include "core/base/atomic_file.h"
#include "core/base/error.h"

namespace baleen {
namespace {

/// A positive number, or 0 where the text is none.
int positive(const std::string& text) {
  int value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && stop == text.data() + text.size() && value > 0 ? value : 0;
}

void add_host(std::vector<HostSlots>& hosts, HostSlots host, const std::string& where) {
  for (const HostSlots& other : hosts) {
    if (other.name != host.name) continue;
    throw Error(ErrorKind::kUsage, fmt::format("{}: host '{}' occurs twice", where, host.name),
                "name it once, with the number of ranks that it takes");
  }
  hosts.push_back(std::move(host));
}

bool same_address(const sockaddr* a, const sockaddr* b) {
  if (a->sa_family != b->sa_family) return false;
  if (a->sa_family == AF_INET) {
    return reinterpret_cast<const sockaddr_in*>(a)->sin_addr.s_addr ==
           reinterpret_cast<const sockaddr_in*>(b)->sin_addr.s_addr;
  }
  return a->sa_family == AF_INET6 &&
         std::memcmp(&reinterpret_cast<const sockaddr_in6*>(a)->sin6_addr,
                     &reinterpret_cast<const sockaddr_in6*>(b)->sin6_addr, sizeof(in6_addr)) == 0;
}

}  // namespace

std::vector<HostSlots> parse_hosts(const std::string& text) {
  std::vector<HostSlots> hosts;
  std::istringstream list(text);
  for (std::string part; std::getline(list, part, ',');) {
    const size_t colon = part.rfind(':');
    HostSlots host{part.substr(0, colon), 1};
    if (colon != std::string::npos) host.slots = positive(part.substr(colon + 1));
    if (host.name.empty() || host.name[0] == '-' || host.slots == 0 ||
        host.name.find_first_of(": \t") != std::string::npos) {
      throw Error(ErrorKind::kUsage, fmt::format("--hosts: '{}' is no host with its ranks", part),
                  "write NAME:RANKS, separated by commas, e.g. --hosts a:2,b:4; an IPv6 address "
                  "needs a name in /etc/hosts");
    }
    add_host(hosts, std::move(host), "--hosts");
  }
  if (hosts.empty()) throw Error(ErrorKind::kUsage, "--hosts names no host", "--hosts a:2,b:4");
  return hosts;
}

std::vector<HostSlots> read_hostfile(const std::filesystem::path& file) {
  std::vector<HostSlots> hosts;
  std::istringstream lines(read_file(file));
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    const std::string where = fmt::format("{}:{}", file.string(), ++number);
    std::istringstream words(line.substr(0, line.find('#')));
    HostSlots host{"", 0};
    if (!(words >> host.name)) continue;
    for (std::string word; words >> word;) {
      if (word.rfind("slots=", 0) == 0) {
        host.slots = positive(word.substr(6));
      } else if (word.rfind("max_slots=", 0) != 0 && word.rfind("max-slots=", 0) != 0) {
        throw Error(ErrorKind::kUsage, fmt::format("{}: '{}' is not understood", where, word),
                    "a line is: NAME slots=RANKS");
      }
    }
    if (host.slots == 0 || host.name[0] == '-') {
      throw Error(ErrorKind::kUsage,
                  fmt::format("{}: how many ranks host '{}' takes is not said", where, host.name),
                  "a line is: NAME slots=RANKS");
    }
    add_host(hosts, std::move(host), where);
  }
  if (hosts.empty())
    throw Error(ErrorKind::kUsage, file.string() + " names no host", "a line is: NAME slots=RANKS");
  return hosts;
}

std::string print_hosts(const std::vector<HostSlots>& hosts) {
  std::string text;
  for (const HostSlots& host : hosts)
    text += fmt::format("{}{}:{}", text.empty() ? "" : ",", host.name, host.slots);
  return text;
}

int num_slots(const std::vector<HostSlots>& hosts) {
  int total = 0;
  for (const HostSlots& host : hosts) total += host.slots;
  return total;
}

bool is_this_host(const std::string& name) {
  char self[256] = {};
  gethostname(self, sizeof self - 1);
  const std::string own = self;
  if (name == "localhost" || name == own || name == own.substr(0, own.find('.'))) return true;

  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(name.c_str(), nullptr, &hints, &found) != 0) return false;
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, freeaddrinfo);
  ifaddrs* interfaces = nullptr;
  if (getifaddrs(&interfaces) != 0) return false;
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> interfaces_owner(interfaces, freeifaddrs);
  for (const addrinfo* address = found; address; address = address->ai_next) {
    for (const ifaddrs* own_one = interfaces; own_one; own_one = own_one->ifa_next) {
      if (own_one->ifa_addr && same_address(own_one->ifa_addr, address->ai_addr)) return true;
    }
  }
  return false;
}

std::vector<HostSlots> hosts_that_answer(const std::vector<HostSlots>& hosts,
                                         const std::function<bool(const std::string&)>& answers) {
  std::vector<std::future<bool>> verdicts;
  verdicts.reserve(hosts.size());
  for (const HostSlots& host : hosts) {
    verdicts.push_back(std::async(std::launch::async, [&answers, name = host.name] {
      return is_this_host(name) || answers(name);
    }));
  }
  std::vector<HostSlots> alive;
  for (size_t i = 0; i < hosts.size(); ++i) {
    if (verdicts[i].get()) alive.push_back(hosts[i]);
  }
  return alive;
}

}  // namespace baleen
