#include "experiments/siamese/pair_epochs.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>

#include "core/base/error.h"
#include "core/base/seeds.h"

namespace baleen {
namespace {

/// Each pair becomes one of the forms that flips make of it.
void draw_flips(std::vector<ImagePair>& pairs, uint64_t seed, int64_t chain_epoch) {
  constexpr uint64_t kFlips = 0x666C6970;  // apart from the order of pairs
  CounterRandom random(
      derive_seed(seed, Stream::kPairs, {kFlips, static_cast<uint64_t>(chain_epoch)}));
  for (ImagePair& pair : pairs) {
    const std::vector<ImagePair> forms = expand_smart_flips(std::span(&pair, 1));
    pair = forms[random.below(forms.size())];
  }
}

}  // namespace

std::vector<int64_t> images_with_partners(const MiningImages& images) {
  std::map<int64_t, std::set<int64_t>> pictures_of;
  const auto picture = [&](size_t i) {
    return images.picture.empty() ? static_cast<int64_t>(i) : images.picture[i];
  };
  for (size_t i = 0; i < images.identity.size(); ++i)
    pictures_of[images.identity[i]].insert(picture(i));
  std::vector<int64_t> positions;
  for (size_t i = 0; i < images.identity.size(); ++i)
    if (pictures_of[images.identity[i]].size() > 1) positions.push_back(static_cast<int64_t>(i));
  return positions;
}

int64_t images_per_epoch(int64_t num_images, const SiameseSection& section) {
  const bool all_flips = section.smart_flips == "all";
  const int64_t same = all_flips ? 2 * num_images : num_images;
  const int64_t different = all_flips ? 4 * num_images : num_images;
  const bool even = pair_balance_from_name(section.balance) == PairBalance::kEven;
  const int64_t num_pairs = even ? 2 * std::max(same, different) : same + different;
  return 2 * num_pairs;
}

EpochOrder pair_epoch(const MinedList& list, std::span<const int64_t> rows,
                      const SiameseSection& section, uint64_t seed, int64_t chain_epoch,
                      int64_t num_images) {
  std::vector<ImagePair> pairs = pairs_of(list, rows);
  if (section.smart_flips == "all") pairs = expand_smart_flips(pairs);
  if (section.smart_flips == "drawn") draw_flips(pairs, seed, chain_epoch);
  if (pairs.empty())
    throw Error(ErrorKind::kData,
                fmt::format("{} images gave no pairs to learn from", rows.size()));
  const std::vector<int64_t> places =
      pair_order(pairs, pair_balance_from_name(section.balance), seed, chain_epoch);
  EpochOrder order;
  std::unordered_map<int64_t, int32_t> turns;
  const auto show = [&](int64_t row, bool mirrored) {
    order.rows.push_back(row);
    order.mirrored.push_back(mirrored ? 1 : 0);
    order.turns.push_back(turns[row]++);
  };
  for (size_t i = 0; std::ssize(order.rows) < num_images; ++i) {
    const ImagePair& pair = pairs[static_cast<size_t>(places[i % places.size()])];
    show(pair.first, pair.flip_first);
    show(pair.second, pair.flip_second);
  }
  return order;
}

double pair_noise(const std::vector<PairNoise>& of_stage, int64_t stage_epoch,
                  int64_t chain_epoch) {
  if (of_stage.empty()) return mining_noise(chain_epoch + 1);
  double amplitude = of_stage.front().amplitude;
  for (const PairNoise& step : of_stage)
    if (step.from_epoch <= stage_epoch) amplitude = step.amplitude;
  return amplitude;
}

}  // namespace baleen
