#include "data/class_sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "core/base/error.h"
#include "core/base/seeds.h"

namespace baleen {
namespace {

/// Deals a list in shuffled order, for ever.
class Dealer {
 public:
  explicit Dealer(std::vector<int64_t> items) : items_(std::move(items)), next_(items_.size()) {}
  int64_t deal(CounterRandom& random) {
    if (next_ == items_.size()) {
      shuffle(items_, random);
      next_ = 0;
    }
    return items_[next_++];
  }

 private:
  std::vector<int64_t> items_;
  size_t next_;
};

}  // namespace

ClassSampler::ClassSampler(std::span<const int64_t> rows, std::span<const int64_t> classes,
                           const Options& options)
    : options_(options) {
  std::map<int64_t, std::vector<int64_t>> by_class;
  for (size_t i = 0; i < rows.size(); ++i) by_class[classes[i]].push_back(rows[i]);
  for (auto& [label, members] : by_class)
    if (std::ssize(members) >= std::max<int64_t>(2, options_.supports + 1))
      members_.push_back(std::move(members));
}

int64_t ClassSampler::num_rows() const {
  int64_t total = 0;
  for (const auto& members : members_) total += static_cast<int64_t>(members.size());
  return total;
}

std::vector<int64_t> ClassSampler::batches(int64_t epoch, int64_t count, int64_t size) const {
  const int64_t m = options_.per_class;
  if (m < 2 || size < m || size % m != 0)
    throw Error(ErrorKind::kConfiguration,
                fmt::format("a batch of {} can't hold {} images of each of its ids", size, m),
                "make the batch a multiple of metric.images_per_id, which is at least 2");
  if (members_.empty())
    throw Error(ErrorKind::kData, "no id has images enough to learn from",
                "ids with one image teach nothing: pack more images of each, or take other folds");
  CounterRandom random(
      derive_seed(options_.seed, Stream::kShuffle,
                  {static_cast<uint64_t>(epoch), static_cast<uint64_t>(options_.stream)}));
  std::vector<Dealer> dealers;
  for (const auto& members : members_) dealers.emplace_back(members);
  std::vector<size_t> classes(members_.size());
  std::iota(classes.begin(), classes.end(), size_t{0});
  std::vector<int64_t> order;
  order.reserve(static_cast<size_t>(count * size));
  for (int64_t b = 0; b < count; ++b) {
    // The first places of a partial shuffle: distinct classes, as long as there are any.
    for (int64_t i = 0; i < size / m; ++i) {
      const auto place = static_cast<size_t>(i) % classes.size();
      const size_t other = place + random.below(classes.size() - place);
      std::swap(classes[place], classes[other]);
      const auto first = std::ssize(order);
      for (int64_t j = 0; j < m; ++j) {
        int64_t row = dealers[classes[place]].deal(random);
        const auto supports = order.begin() + first;
        while (std::find(supports, supports + std::min(j, options_.supports), row) !=
               supports + std::min(j, options_.supports))
          row = dealers[classes[place]].deal(random);
        order.push_back(row);
      }
    }
  }
  return order;
}

}  // namespace baleen
