#include "experiments/metric/identity_folds.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "core/base/seeds.h"

namespace baleen {
namespace {

/// The ids that are held out as a whole, drawn by their names.
std::vector<bool> drawn_ids(const std::vector<std::string>& names, double share, uint64_t seed) {
  std::vector<size_t> order(names.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t x, size_t y) { return names[x] < names[y]; });
  CounterRandom random(derive_seed(seed, Stream::kHoldOut, {}));
  shuffle(order, random);
  std::vector<bool> drawn(names.size(), false);
  const auto count = static_cast<size_t>(std::llround(share * static_cast<double>(names.size())));
  for (size_t i = 0; i < count; ++i) drawn[order[i]] = true;
  return drawn;
}

}  // namespace

FoldSubject subject_by_identity(FoldSubject subject, const FoldOptions& options,
                                const std::string& split, double open_share) {
  const bool from_file = !options.folds_from.empty();
  if (split == "closed" || (split == "open" && from_file)) return subject;
  std::vector<bool> whole(subject.label_names.size(), true);
  if (split == "open")
    whole = drawn_ids(subject.label_names, open_share, static_cast<uint64_t>(options.seed));
  subject.groups.resize(subject.ids.size());
  for (size_t i = 0; i < subject.ids.size(); ++i) {
    const auto label = static_cast<size_t>(subject.labels[i].front());
    // Groups of the packing stand for near duplicates: they go with their id, or stay together.
    if (whole[label])
      subject.groups[i] = "id:" + subject.label_names[label];
    else if (!subject.groups[i].empty())
      subject.groups[i] = "group:" + subject.groups[i];
  }
  // Folds are balanced by their sizes: ids that are in one fold only can't be spread.
  subject.target_kind = TargetKind::kNone;
  return subject;
}

}  // namespace baleen
