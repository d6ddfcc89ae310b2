#include "core/optim/freeze.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <fnmatch.h>

#include <algorithm>
#include <set>

#include "core/base/error.h"
#include "core/base/nearest.h"

namespace baleen {
namespace {

bool in_module(const std::string& name, const std::string& module) {
  return name.size() > module.size() && name.starts_with(module) && name[module.size()] == '.';
}

/// Whether the rule matches the name or one of the modules that hold it.
bool matches(const std::string& rule, const std::string& name) {
  if (name == rule || in_module(name, rule)) return true;
  if (rule.find_first_of("*?[") == std::string::npos) return false;
  for (size_t end = 0; end != std::string::npos;) {
    end = name.find('.', end == 0 ? 0 : end + 1);
    if (::fnmatch(rule.c_str(), name.substr(0, end).c_str(), 0) == 0) return true;
  }
  return false;
}

class Rules {
 public:
  explicit Rules(const Backbone& network) : network_(network) {
    for (const auto& item : network.named_parameters()) names_.push_back(item.key());
  }
  const std::vector<std::string>& names() const { return names_; }

  /// @param key "freeze" or "unfreeze", for the message
  std::vector<bool> select(const std::vector<std::string>& rules, const char* key) const {
    std::vector<bool> selected(names_.size(), false);
    for (const std::string& rule : rules) {
      bool any = false;
      for (size_t i = 0; i < names_.size(); ++i) {
        if (!selects(rule, names_[i])) continue;
        selected[i] = true;
        any = true;
      }
      if (!any) refuse(rule, key);
    }
    return selected;
  }

 private:
  bool selects(const std::string& rule, const std::string& name) const {
    if (matches(rule, name)) return true;
    if (rule == "head") return in_module(name, network_.head_name());
    if (rule == "trunk") return !in_module(name, network_.head_name());
    if (rule == "stem") return in_module(name, network_.stem_name());
    return false;
  }

  [[noreturn]] void refuse(const std::string& rule, const char* key) const {
    std::vector<std::string> candidates{"head", "trunk", "stem"};
    std::set<std::string> modules, outermost;
    for (const std::string& name : names_) {
      outermost.insert(name.substr(0, name.find('.')));
      for (size_t dot = name.find('.'); dot != std::string::npos; dot = name.find('.', dot + 1))
        modules.insert(name.substr(0, dot));
    }
    candidates.insert(candidates.end(), modules.begin(), modules.end());
    candidates.insert(candidates.end(), names_.begin(), names_.end());
    std::sort(candidates.begin(), candidates.end(), [&](const auto& a, const auto& b) {
      const auto distance_a = edit_distance(rule, a), distance_b = edit_distance(rule, b);
      return distance_a != distance_b ? distance_a < distance_b : a < b;
    });
    candidates.resize(std::min<size_t>(candidates.size(), 3));
    throw Error(ErrorKind::kConfiguration,
                fmt::format("{}: '{}' matches no module or parameter of this network", key, rule),
                fmt::format("nearest: {}; its modules: {}; head, trunk and stem go with every "
                            "network",
                            fmt::join(candidates, ", "), fmt::join(outermost, ", ")));
  }

  const Backbone& network_;
  std::vector<std::string> names_;
};

}  // namespace

std::vector<std::string> frozen_parameters(const Backbone& network, const FreezeRules& rules) {
  const Rules known(network);
  const std::vector<bool> freeze = known.select(rules.freeze, "freeze");
  const std::vector<bool> unfreeze = known.select(rules.unfreeze, "unfreeze");
  std::vector<std::string> frozen;
  for (size_t i = 0; i < freeze.size(); ++i) {
    if (freeze[i] && !unfreeze[i]) frozen.push_back(known.names()[i]);
  }
  if (frozen.size() == known.names().size()) {
    throw Error(ErrorKind::kConfiguration,
                fmt::format("freeze: {} leaves nothing to train", fmt::join(rules.freeze, ", ")),
                "name what is trained under unfreeze, e.g. unfreeze: [head]");
  }
  return frozen;
}

int64_t freeze_parameters(Backbone& network, const FreezeRules& rules) {
  auto parameters = network.named_parameters();
  int64_t count = 0;
  for (const std::string& name : frozen_parameters(network, rules)) {
    parameters[name].set_requires_grad(false);
    count += parameters[name].numel();
  }
  return count;
}

}  // namespace baleen
