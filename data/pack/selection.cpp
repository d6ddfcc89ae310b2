#include "data/pack/selection.h"

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <numeric>
#include <tuple>

#include "core/base/error.h"
#include "core/base/seeds.h"

namespace baleen {
namespace {

// FNV-1a: any fixed function of the name does, seeds mix it further.
uint64_t hash_name(const std::string& name) {
  uint64_t hash = 0xCBF29CE484222325ull;
  for (const char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001B3ull;
  return hash;
}

// What moves as one: a group, or a sample without one.
struct Unit {
  uint64_t rank = 0;
  std::string name;
  std::vector<size_t> samples;
  std::vector<double> labels;  // samples that carry each label
};

std::vector<Unit> units_of(int64_t seed, const SourceList& list) {
  std::map<std::pair<bool, std::string>, Unit> units;
  for (size_t i = 0; i < list.samples.size(); ++i) {
    const SourceSample& sample = list.samples[i];
    const bool grouped = !sample.group.empty();
    Unit& unit = units[{grouped, grouped ? sample.group : sample.id}];
    unit.name = grouped ? sample.group : sample.id;
    unit.rank = selection_rank(seed, unit.name);
    unit.labels.resize(list.label_names.size());
    unit.samples.push_back(i);
    for (const int64_t label : sample.labels) unit.labels[static_cast<size_t>(label)] += 1;
  }
  std::vector<Unit> sorted;
  sorted.reserve(units.size());
  for (auto& [key, unit] : units) sorted.push_back(std::move(unit));
  std::stable_sort(sorted.begin(), sorted.end(), [](const Unit& a, const Unit& b) {
    return std::tie(a.rank, a.name) < std::tie(b.rank, b.name);
  });
  return sorted;
}

// Shares units out between the two parts (0 stays, 1 is held out), tracking what each still wants.
class Division {
 public:
  Division(const SourceList& list, const std::vector<Unit>& units, double share)
      : units_(units), parts_(units.size(), kOpen), open_units_(list.label_names.size()) {
    std::vector<double> counts(list.label_names.size());
    for (const Unit& unit : units)
      for (size_t l = 0; l < counts.size(); ++l) {
        counts[l] += unit.labels[l];
        open_units_[l] += unit.labels[l] > 0;
      }
    const std::array<double, 2> shares = {1 - share, share};
    for (size_t part = 0; part < 2; ++part) {
      wanted_total_[part] = shares[part] * static_cast<double>(list.samples.size());
      for (const double count : counts) wanted_[part].push_back(shares[part] * count);
    }
  }

  void run() {
    while (true) {
      size_t rarest = open_units_.size();
      for (size_t l = 0; l < open_units_.size(); ++l)
        if (open_units_[l] > 0 &&
            (rarest == open_units_.size() || open_units_[l] < open_units_[rarest]))
          rarest = l;
      if (rarest == open_units_.size()) break;
      for (size_t u = 0; u < units_.size(); ++u)
        if (parts_[u] == kOpen && units_[u].labels[rarest] > 0)
          assign(u, wanted_[1][rarest] - wanted_[0][rarest]);
    }
    for (size_t u = 0; u < units_.size(); ++u)
      if (parts_[u] == kOpen) assign(u, 0);
  }

  bool held_out(size_t unit) const { return parts_[unit] == 1; }

 private:
  static constexpr int kOpen = -1;

  // To the part that wants the label more; on a tie, that wants samples more; on a tie, it stays.
  void assign(size_t u, double preference) {
    if (preference == 0) preference = wanted_total_[1] - wanted_total_[0];
    const size_t part = preference > 0 ? 1 : 0;
    parts_[u] = static_cast<int>(part);
    wanted_total_[part] -= static_cast<double>(units_[u].samples.size());
    for (size_t l = 0; l < open_units_.size(); ++l) {
      wanted_[part][l] -= units_[u].labels[l];
      open_units_[l] -= units_[u].labels[l] > 0;
    }
  }

  const std::vector<Unit>& units_;
  std::vector<int> parts_;
  std::vector<int64_t> open_units_;  // per label, units that carry it and have no part yet
  std::array<std::vector<double>, 2> wanted_;
  std::array<double, 2> wanted_total_{};
};

}  // namespace

uint64_t selection_rank(int64_t seed, const std::string& name) {
  return derive_seed(static_cast<uint64_t>(seed), Stream::kHoldOut, {hash_name(name)});
}

void apply_limits(const PackOptions& options, SourceList& list) {
  if (options.limit_per_label == 0 && options.limit_total == 0) return;
  std::vector<size_t> order(list.samples.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::vector<uint64_t> ranks;
  for (const SourceSample& sample : list.samples)
    ranks.push_back(selection_rank(options.seed, sample.id));
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return std::tie(ranks[a], list.samples[a].id) < std::tie(ranks[b], list.samples[b].id);
  });
  std::vector<int64_t> counts(list.label_names.size());
  std::vector<bool> keep(list.samples.size());
  int64_t kept = 0;
  const int64_t most =
      options.limit_total > 0 ? options.limit_total : std::numeric_limits<int64_t>::max();
  for (const size_t i : order) {
    if (kept == most) break;
    const std::vector<int64_t>& labels = list.samples[i].labels;
    const bool wanted = options.limit_per_label == 0 || labels.empty() ||
                        std::any_of(labels.begin(), labels.end(), [&](int64_t label) {
                          return counts[static_cast<size_t>(label)] < options.limit_per_label;
                        });
    if (!wanted) continue;
    for (const int64_t label : labels) ++counts[static_cast<size_t>(label)];
    keep[i] = true;
    ++kept;
  }
  std::vector<SourceSample> chosen;
  for (size_t i = 0; i < list.samples.size(); ++i)
    if (keep[i]) chosen.push_back(std::move(list.samples[i]));
  list.samples = std::move(chosen);
}

std::vector<bool> choose_hold_out(const PackOptions& options, const SourceList& list) {
  if (options.hold_out == 0) return {};
  const std::vector<Unit> units = units_of(options.seed, list);
  Division division(list, units, options.hold_out);
  division.run();
  std::vector<bool> held(list.samples.size());
  for (size_t u = 0; u < units.size(); ++u)
    if (division.held_out(u))
      for (const size_t i : units[u].samples) held[i] = true;
  const auto count = std::count(held.begin(), held.end(), true);
  if (count == 0 || count == std::ssize(held))
    throw Error(ErrorKind::kData, "hold_out leaves one of the two parts empty",
                "there are too few samples or groups for this share");
  return held;
}

}  // namespace baleen
