#include "experiments/plugins.h"

#include <dlfcn.h>
#include <elf.h>
#include <fmt/format.h>

#include <cstring>
#include <optional>

#include "core/base/atomic_file.h"
#include "core/base/digest.h"
#include "core/base/error.h"
#include "core/base/logging.h"
#include "experiments/plugin.h"

namespace baleen {
namespace {

constexpr std::string_view kStamp = BALEEN_PLUGIN_STAMP;

/// From the opening to the closing mark, or nothing.
std::optional<std::string_view> stamp_in(std::string_view bytes) {
  const std::string_view opening = kStamp.substr(0, kStamp.find('>') + 1);
  const std::string_view closing = kStamp.substr(kStamp.rfind('<'));
  constexpr size_t kLongest = 1000;
  const size_t start = bytes.find(opening);
  if (start == std::string_view::npos) return std::nullopt;
  const std::string_view rest = bytes.substr(start, kLongest);
  const size_t end = rest.find(closing);
  if (end == std::string_view::npos) return std::nullopt;
  return rest.substr(0, end + closing.size());
}

/// A stamp without its marks.
std::string_view readable(std::string_view stamp) {
  const size_t start = stamp.find('>') + 1;
  return stamp.substr(start, stamp.rfind('<') - start);
}

[[noreturn]] void refuse(const std::filesystem::path& file, const std::string& what,
                         std::string hint) {
  throw Error(ErrorKind::kConfiguration, fmt::format("the plug-in {} {}", file.string(), what),
              std::move(hint));
}

std::string read_plugin(const std::filesystem::path& file) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(file, ignored)) {
    refuse(file, "is not there",
           "paths start from the working directory; cmake --build tells where it puts the library");
  }
  return read_file(file);
}

/// Whether the file holds all that its header promises: opening a library that was cut short would
/// end the process.
bool is_whole_library(std::string_view bytes) {
  if (!bytes.starts_with(ELFMAG) || bytes.size() < sizeof(Elf64_Ehdr)) return false;
  Elf64_Ehdr header;
  std::memcpy(&header, bytes.data(), sizeof header);
  const auto fits = [&](uint64_t offset, uint64_t size) {
    return offset <= bytes.size() && size <= bytes.size() - offset;
  };
  if (header.e_phentsize != sizeof(Elf64_Phdr) ||
      !fits(header.e_phoff, uint64_t{header.e_phnum} * sizeof(Elf64_Phdr)) ||
      !fits(header.e_shoff, uint64_t{header.e_shnum} * header.e_shentsize)) {
    return false;
  }
  for (uint64_t i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    std::memcpy(&segment, bytes.data() + header.e_phoff + i * sizeof segment, sizeof segment);
    if (!fits(segment.p_offset, segment.p_filesz)) return false;
  }
  return true;
}

void check_stamp(const std::filesystem::path& file, std::string_view bytes) {
  const std::optional<std::string_view> stamp = stamp_in(bytes);
  if (!bytes.starts_with(ELFMAG) || !stamp) {
    refuse(file, "is no plug-in of Baleen",
           "build it with baleen_add_plugin and end its source with BALEEN_PLUGIN(function), see "
           "docs/extending.md");
  }
  if (!is_whole_library(bytes))
    refuse(file, "is cut short or damaged", "copy it again, or build it anew");
  if (*stamp != kStamp) {
    refuse(
        file,
        fmt::format("was built for {}, but this program is {}", readable(*stamp), readable(kStamp)),
        "build it anew against the installation of this program");
  }
}

const PluginEntry& open_library(const std::filesystem::path& file) {
  // With a slash, or the dynamic loader would look in its own folders. Never closed: what it
  // registers lives as long as the program.
  const std::string path = std::filesystem::absolute(file).string();
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char* reason = dlerror();
    refuse(file, fmt::format("can't be loaded: {}", reason ? reason : "unknown reason"),
           "a symbol that is missing belongs to a library that the plug-in must link itself");
  }
  const auto* entry = static_cast<const PluginEntry*>(dlsym(library, "baleen_plugin"));
  if (!entry)
    refuse(file, "does not export baleen_plugin", "end its source with BALEEN_PLUGIN(function)");
  return *entry;
}

}  // namespace

void load_plugin(const std::filesystem::path& file, Extensions& extensions) {
  const std::string bytes = read_plugin(file);
  check_stamp(file, bytes);
  const PluginEntry& entry = open_library(file);
  try {
    entry.extend(extensions);
  } catch (...) {
    const Error error = current_error();
    refuse(file, "failed: " + error.message(),
           error.hint().empty() ? "names must differ from built-in ones and from each other's"
                                : error.hint());
  }
  extensions.plugins.push_back({file, digest_hex(bytes)});
  log_debug("plug-in {}, digest {}", file.string(), extensions.plugins.back().digest);
}

std::vector<std::string> plugins_of(const config::Document& document) {
  std::vector<std::string> files;
  const config::Node* list = document.root().find("plugins");
  if (!list || !list->is_list()) return files;
  for (const config::Node& item : list->items) {
    if (item.kind == config::Node::Kind::kScalar) files.push_back(item.text);
  }
  return files;
}

}  // namespace baleen
