// Stands between a program and the file system: linked into a test, or preloaded into the program,
// where the environment says what is to fail:
//
//   BALEEN_FILE_FAULT="call=write number=7 error=28 short=1 lasting=1 rank=0 path=journal"
#include "tests/faults/file_faults.h"

#include <dlfcn.h>
#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <sstream>

namespace baleen::testing {
namespace {

std::mutex mutex;
FileFault armed;
std::atomic<bool> active{false};
int64_t calls = 0;

template <class Function>
Function original(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

std::string path_of(int descriptor) {
  std::array<char, 4096> path{};
  std::array<char, 64> link{};
  std::snprintf(link.data(), link.size(), "/proc/self/fd/%d", descriptor);
  const ssize_t length = readlink(link.data(), path.data(), path.size() - 1);
  return length > 0 ? std::string(path.data(), static_cast<size_t>(length)) : std::string();
}

enum class Verdict { kGoOn, kFail, kCutShort };

/// @param path asked only while a fault is armed
template <class Path>
Verdict judge(FileCall call, Path&& path) {
  if (!active) return Verdict::kGoOn;
  std::lock_guard lock(mutex);
  if (call != armed.call) return Verdict::kGoOn;
  const std::string file = path();
  // Regular files only: a console or pipe is no disk.
  if (file.empty() || file[0] != '/' || file.starts_with("/dev/") || file.starts_with("/proc/"))
    return Verdict::kGoOn;
  if (file.find(armed.path) == std::string::npos) return Verdict::kGoOn;
  ++calls;
  if (calls < armed.number) return Verdict::kGoOn;
  if (calls == armed.number) return armed.cut_short ? Verdict::kCutShort : Verdict::kFail;
  if (armed.lasting || (armed.cut_short && calls == armed.number + 1)) return Verdict::kFail;
  return Verdict::kGoOn;
}

int fail() {
  errno = armed.error;
  return -1;
}

/// Reads the environment of a program that was started with this file preloaded.
struct FromEnvironment {
  FromEnvironment() {
    const char* text = std::getenv("BALEEN_FILE_FAULT");
    if (!text) return;
    FileFault fault;
    std::istringstream words(text);
    for (std::string word; words >> word;) {
      const size_t equal = word.find('=');
      if (equal == std::string::npos) continue;
      const std::string key = word.substr(0, equal), value = word.substr(equal + 1);
      if (key == "call")
        fault.call = value == "write"  ? FileCall::kWrite
                     : value == "sync" ? FileCall::kSync
                                       : FileCall::kRename;
      if (key == "number") fault.number = std::atoll(value.c_str());
      if (key == "error") fault.error = std::atoi(value.c_str());
      if (key == "short") fault.cut_short = value == "1";
      if (key == "lasting") fault.lasting = value == "1";
      if (key == "path") fault.path = value;
      if (key == "rank") {
        const char* rank = std::getenv("OMPI_COMM_WORLD_RANK");
        if (!rank || value != rank) return;
      }
    }
    arm(fault);
  }
};
const FromEnvironment from_environment;

}  // namespace

void arm(const FileFault& fault) {
  std::lock_guard lock(mutex);
  armed = fault;
  calls = 0;
  active = true;
}

int64_t disarm() {
  std::lock_guard lock(mutex);
  active = false;
  return calls;
}

}  // namespace baleen::testing

using baleen::testing::FileCall;
using baleen::testing::judge;
using baleen::testing::Verdict;

extern "C" {

ssize_t write(int descriptor, const void* data, size_t size) {
  static const auto real =
      baleen::testing::original<ssize_t (*)(int, const void*, size_t)>("write");
  switch (judge(FileCall::kWrite, [&] { return baleen::testing::path_of(descriptor); })) {
    case Verdict::kFail:
      return baleen::testing::fail();
    case Verdict::kCutShort:
      return real(descriptor, data, size > 1 ? size / 2 : size);
    default:
      return real(descriptor, data, size);
  }
}

ssize_t pwrite(int descriptor, const void* data, size_t size, off_t offset) {
  static const auto real =
      baleen::testing::original<ssize_t (*)(int, const void*, size_t, off_t)>("pwrite");
  switch (judge(FileCall::kWrite, [&] { return baleen::testing::path_of(descriptor); })) {
    case Verdict::kFail:
      return baleen::testing::fail();
    case Verdict::kCutShort:
      return real(descriptor, data, size > 1 ? size / 2 : size, offset);
    default:
      return real(descriptor, data, size, offset);
  }
}

ssize_t pwrite64(int descriptor, const void* data, size_t size, off_t offset) {
  return pwrite(descriptor, data, size, offset);
}

int fsync(int descriptor) {
  static const auto real = baleen::testing::original<int (*)(int)>("fsync");
  if (judge(FileCall::kSync, [&] { return baleen::testing::path_of(descriptor); }) !=
      Verdict::kGoOn)
    return baleen::testing::fail();
  return real(descriptor);
}

int fdatasync(int descriptor) {
  static const auto real = baleen::testing::original<int (*)(int)>("fdatasync");
  if (judge(FileCall::kSync, [&] { return baleen::testing::path_of(descriptor); }) !=
      Verdict::kGoOn)
    return baleen::testing::fail();
  return real(descriptor);
}

int rename(const char* from, const char* to) noexcept {
  static const auto real = baleen::testing::original<int (*)(const char*, const char*)>("rename");
  if (judge(FileCall::kRename, [&] { return std::string(to); }) != Verdict::kGoOn)
    return baleen::testing::fail();
  return real(from, to);
}

}  // extern "C"
