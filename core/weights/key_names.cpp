#include "core/weights/key_names.h"

#include <fmt/format.h>

#include <array>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "core/base/error.h"

namespace baleen {
namespace {

constexpr std::array<std::string_view, 6> kWrappers{"module.",   "_orig_mod.", "model.",
                                                    "backbone.", "network.",   "encoder."};
constexpr std::array<std::string_view, 6> kHeads{"fc.",      "classifier.", "last_linear.",
                                                 "head.fc.", "head.",       "linear."};
/// Old spelling, new spelling, as parts between dots or as a name's end.
constexpr std::array<std::pair<std::string_view, std::string_view>, 9> kParts{{
    {".norm.1.", ".norm1."},
    {".norm.2.", ".norm2."},
    {".conv.1.", ".conv1."},
    {".conv.2.", ".conv2."},
    {".se.", ".se_module."},
    {".gamma", ".weight"},
    {".beta", ".bias"},
    {".moving_mean", ".running_mean"},
    {".moving_variance", ".running_var"},
}};

struct Found {
  std::string name;
  std::string note;  ///< with one {} for the number of names; empty: not renamed
};

/// The first of the name's spellings that the network knows.
class Finder {
 public:
  Finder(const std::vector<std::string>& known, std::string head_name)
      : known_(known.begin(), known.end()), head_prefix_(std::move(head_name) + ".") {}

  std::optional<Found> find(const std::string& name) const {
    std::string bare = name;
    std::string taken_off;
    for (;;) {
      const std::string prefix_note =
          taken_off.empty() ? "" : fmt::format("prefix '{}' taken off {{}} names", taken_off);
      if (knows(bare)) return Found{bare, prefix_note};
      if (auto other = respelled(bare)) {
        if (!prefix_note.empty()) other->note += ", after " + fmt::format("'{}'", taken_off);
        return other;
      }
      size_t length = 0;
      for (std::string_view wrapper : kWrappers) {
        if (bare.starts_with(wrapper)) length = wrapper.size();
      }
      if (length == 0) return std::nullopt;
      taken_off += bare.substr(0, length);
      bare.erase(0, length);
    }
  }

 private:
  bool knows(const std::string& name) const { return known_.contains(name); }

  std::optional<Found> respelled(const std::string& name) const {
    for (std::string_view head : kHeads) {
      if (!name.starts_with(head)) continue;
      const std::string other = head_prefix_ + name.substr(head.size());
      if (knows(other)) {
        return Found{other, fmt::format("the last layer is '{}' here and '{}' there ({{}} names)",
                                        without_dot(head_prefix_), without_dot(head))};
      }
    }
    for (const auto& [old_part, new_part] : kParts) {
      const size_t at = name.find(old_part);
      if (at == std::string::npos) continue;
      // Without a dot at the end the part is the name's last.
      if (old_part.back() != '.' && at + old_part.size() != name.size()) continue;
      std::string other = name;
      other.replace(at, old_part.size(), new_part);
      if (knows(other)) {
        return Found{other, fmt::format("'{}' read as '{}' in {{}} names", without_dot(old_part),
                                        without_dot(new_part))};
      }
    }
    return std::nullopt;
  }

  static std::string without_dot(std::string_view part) {
    if (part.starts_with('.')) part.remove_prefix(1);
    if (part.ends_with('.')) part.remove_suffix(1);
    return std::string(part);
  }

  std::set<std::string> known_;
  std::string head_prefix_;
};

}  // namespace

MappedNames map_key_names(const NamedTensors& tensors, const std::vector<std::string>& known,
                          const std::string& head_name) {
  const Finder finder(known, head_name);
  MappedNames mapped;
  std::map<std::string, std::string> origin;  // the network's name to the file's
  std::vector<std::pair<std::string, int64_t>> counts;
  for (const auto& [name, tensor] : tensors) {
    const std::optional<Found> found = finder.find(name);
    const std::string& here = found ? found->name : name;
    mapped.tensors.emplace_back(here, tensor);
    const auto [first, is_new] = origin.emplace(here, name);
    if (!is_new) {
      throw Error(
          ErrorKind::kData,
          fmt::format("'{}' and '{}' both mean the network's '{}'", first->second, name, here),
          "keep one set of weights in the file: convert it again and choose with --key");
    }
    if (!found || found->note.empty()) continue;
    auto counted = counts.begin();
    while (counted != counts.end() && counted->first != found->note) ++counted;
    if (counted == counts.end()) counted = counts.insert(counted, {found->note, 0});
    ++counted->second;
  }
  for (const auto& [note, count] : counts)
    mapped.notes.push_back(fmt::format(fmt::runtime(note), count));
  return mapped;
}

}  // namespace baleen
