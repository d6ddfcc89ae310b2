#include "data/pack/balance.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "core/base/error.h"
#include "data/name_list.h"
#include "data/pack/group_names.h"
#include "data/pack/selection.h"

namespace baleen {
namespace {

// Samples of each class, in an order that depends on ids and seed only.
std::map<int64_t, std::vector<size_t>> samples_by_class(const PackOptions& options,
                                                        const SourceList& list,
                                                        const std::vector<size_t>& samples) {
  std::map<int64_t, std::vector<size_t>> classes;
  for (const size_t i : samples) classes[list.samples[i].labels.at(0)].push_back(i);
  for (auto& [label, members] : classes)
    std::sort(members.begin(), members.end(), [&](size_t a, size_t b) {
      const std::string& id_a = list.samples[a].id;
      const std::string& id_b = list.samples[b].id;
      const uint64_t rank_a = selection_rank(options.seed, id_a);
      const uint64_t rank_b = selection_rank(options.seed, id_b);
      return std::tie(rank_a, id_a) < std::tie(rank_b, id_b);
    });
  return classes;
}

}  // namespace

void add_balancing_copies(const PackOptions& options, SourceList& list,
                          std::vector<size_t>& samples) {
  if (options.balance.empty()) return;
  std::vector<D4> symmetries = d4_views(options.balance);
  std::erase(symmetries, D4::kIdentity);
  const auto classes = samples_by_class(options, list, samples);
  size_t most = 0;
  for (const auto& [label, members] : classes) most = std::max(most, members.size());

  std::set<std::string> taken;
  for (const SourceSample& sample : list.samples) taken.insert(sample.id);
  GroupNames names(list);
  std::vector<std::string> short_of;
  for (const auto& [label, members] : classes) {
    size_t have = members.size();
    for (const D4 symmetry : symmetries) {
      for (size_t m = 0; m < members.size() && have < most; ++m, ++have) {
        SourceSample& source = list.samples[members[m]];
        if (source.group.empty()) source.group = names.fresh(source.id);
        SourceSample copy = source;
        copy.id = fmt::format("{}@{}", source.id, name_of(symmetry));
        copy.copy_of = source.id;
        copy.symmetry = symmetry;
        if (!taken.insert(copy.id).second)
          throw Error(ErrorKind::kData,
                      fmt::format("a copy of '{}' would be called '{}', as another sample is",
                                  copy.copy_of, copy.id),
                      "give that sample another id");
        samples.push_back(list.samples.size());
        list.samples.push_back(std::move(copy));
      }
    }
    if (have < most)
      short_of.push_back(
          fmt::format("{} ({} of {})", list.label_names[static_cast<size_t>(label)], have, most));
  }
  if (!short_of.empty())
    list.notes.push_back(fmt::format(
        "{} classes stay smaller than the largest, as every image is copied once per symmetry at "
        "most: {}",
        short_of.size(), name_list(short_of)));
}

}  // namespace baleen
