#include "experiments/replica_check.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "core/base/hash64.h"

namespace baleen {
namespace {

struct Holder {
  RankName name;
  std::vector<uint64_t> hashes;
};

std::string names_of(const std::vector<const Holder*>& holders) {
  constexpr size_t kMost = 8;
  std::string text;
  for (size_t i = 0; i < holders.size() && i < kMost; ++i)
    text += fmt::format("{}rank {} on host {}", i == 0 ? "" : ", ", holders[i]->name.rank,
                        holders[i]->name.host);
  if (holders.size() > kMost) text += fmt::format(" and {} more", holders.size() - kMost);
  return text;
}

/// Who holds what of one tensor.
std::string verdict(const std::vector<Holder>& all, size_t tensor, const std::string& name) {
  std::map<uint64_t, std::vector<const Holder*>> by_hash;
  for (const Holder& holder : all) by_hash[holder.hashes[tensor]].push_back(&holder);
  const auto most = std::max_element(
      by_hash.begin(), by_hash.end(),
      [](const auto& a, const auto& b) { return a.second.size() < b.second.size(); });
  if (2 * most->second.size() <= all.size()) {
    std::vector<const Holder*> holders;
    for (const Holder& holder : all) holders.push_back(&holder);
    return fmt::format("{} hold different bits of {}", names_of(holders), name);
  }
  std::vector<const Holder*> others;
  for (const Holder& holder : all)
    if (holder.hashes[tensor] != most->first) others.push_back(&holder);
  return fmt::format("{} hold{} other bits than {} in {}", names_of(others),
                     others.size() == 1 ? "s" : "", names_of(most->second), name);
}

}  // namespace

std::vector<uint64_t> tensor_hashes(const NamedTensors& tensors) {
  const at::NoGradGuard no_grad;
  std::vector<uint64_t> hashes;
  hashes.reserve(tensors.size());
  for (const auto& [name, tensor] : tensors) {
    at::Tensor values = tensor.detach().to(at::kCPU);
    if (!values.is_non_overlapping_and_dense()) values = values.contiguous();
    hashes.push_back(hash64(values.const_data_ptr(), values.nbytes()));
  }
  return hashes;
}

std::string replica_difference(const NamedTensors& tensors, Communicator& group,
                               const RankName& self) {
  if (group.size() == 1) return {};
  const std::vector<uint64_t> hashes = tensor_hashes(tensors);
  const uint64_t mine = hash64(hashes.data(), hashes.size() * sizeof(uint64_t));
  const std::vector<std::string> all =
      group.all_gather(std::string(reinterpret_cast<const char*>(&mine), sizeof mine));
  if (std::all_of(all.begin(), all.end(), [&](const std::string& h) { return h == all.front(); }))
    return {};
  std::vector<Holder> holders;
  const nlohmann::json told = {{"rank", self.rank}, {"host", self.host}, {"hashes", hashes}};
  for (const std::string& text : group.all_gather(told.dump())) {
    const nlohmann::json heard = nlohmann::json::parse(text);
    holders.push_back(
        {{heard.at("rank"), heard.at("host")}, heard.at("hashes").get<std::vector<uint64_t>>()});
  }
  std::vector<size_t> different;
  for (size_t i = 0; i < hashes.size(); ++i) {
    if (std::any_of(holders.begin(), holders.end(),
                    [&](const Holder& h) { return h.hashes[i] != holders.front().hashes[i]; }))
      different.push_back(i);
  }
  if (different.empty()) return "ranks of the group hold different weights";
  const std::string first = verdict(holders, different.front(), tensors[different.front()].first);
  if (different.size() == 1) return first;
  return fmt::format("{}, and in {} more tensor{}", first, different.size() - 1,
                     different.size() == 2 ? "" : "s");
}

}  // namespace baleen
