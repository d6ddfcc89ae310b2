#include "experiments/coordinator_balance.h"

#include <algorithm>
#include <functional>
#include <queue>
#include <utility>

#include "core/base/seeds.h"

namespace baleen {
namespace {

constexpr int kMostExchanges = 300;
constexpr int kShakes = 30;
constexpr int kShaken = 3;
constexpr double kLeastGain = 1e-9;  // of the end; keeps rounding from going round in circles

class Division {
 public:
  Division(const std::vector<double>& costs_s, const std::vector<double>& free_s)
      : costs_(&costs_s), ends_(free_s), chains_(free_s.size()) {
    using Entry = std::pair<double, size_t>;
    std::priority_queue<Entry, std::vector<Entry>, std::greater<>> soonest;
    for (size_t rank = 0; rank < ends_.size(); ++rank) soonest.emplace(ends_[rank], rank);
    for (size_t chain = 0; chain < costs_->size(); ++chain) {
      const size_t rank = soonest.top().second;
      soonest.pop();
      chains_[rank].push_back(chain);
      ends_[rank] += (*costs_)[chain];
      soonest.emplace(ends_[rank], rank);
    }
  }

  void improve() {
    for (int i = 0; i < kMostExchanges && improve_once(); ++i) {
    }
  }

  double end_s() const { return *std::max_element(ends_.begin(), ends_.end()); }

  /// Exchanges a few chains at random: away from a division that no single exchange improves.
  void shake(CounterRandom& random) {
    for (int i = 0; i < kShaken; ++i) {
      const auto one = static_cast<size_t>(random.below(chains_.size()));
      const auto other = static_cast<size_t>(random.below(chains_.size()));
      if (one == other || chains_[one].empty() || chains_[other].empty()) continue;
      apply(one, {.given = static_cast<size_t>(random.below(chains_[one].size())),
                  .other = other,
                  .taken = static_cast<size_t>(random.below(chains_[other].size()))});
    }
  }

  std::vector<size_t> ranks() const {
    std::vector<size_t> ranks(costs_->size());
    for (size_t rank = 0; rank < chains_.size(); ++rank) {
      for (size_t chain : chains_[rank]) ranks[chain] = rank;
    }
    return ranks;
  }

 private:
  static constexpr size_t kNothing = static_cast<size_t>(-1);

  /// What the last rank gives away, and what it takes for it: positions in the ranks' lists.
  struct Exchange {
    double end_s = 0;  ///< of the later one of the two ranks afterwards
    size_t given = kNothing;
    size_t other = 0;
    size_t taken = kNothing;
  };

  bool improve_once() {
    const auto last =
        static_cast<size_t>(std::max_element(ends_.begin(), ends_.end()) - ends_.begin());
    Exchange best{.end_s = ends_[last] * (1 - kLeastGain)};
    for (size_t given = 0; given < chains_[last].size(); ++given) {
      const double cost = (*costs_)[chains_[last][given]];
      for (size_t other = 0; other < ends_.size(); ++other) {
        if (other == last) continue;
        consider(best, {later(last, other, cost), given, other, kNothing});
        for (size_t taken = 0; taken < chains_[other].size(); ++taken)
          consider(best, {later(last, other, cost - (*costs_)[chains_[other][taken]]), given, other,
                          taken});
      }
    }
    if (best.given == kNothing) return false;
    apply(last, best);
    return true;
  }

  /// The later end of two ranks after `last` has given the other so many seconds.
  double later(size_t last, size_t other, double seconds) const {
    return std::max(ends_[last] - seconds, ends_[other] + seconds);
  }

  static void consider(Exchange& best, const Exchange& candidate) {
    if (candidate.end_s < best.end_s) best = candidate;
  }

  void apply(size_t last, const Exchange& exchange) {
    std::vector<size_t>& from = chains_[last];
    std::vector<size_t>& to = chains_[exchange.other];
    double moved = (*costs_)[from[exchange.given]];
    if (exchange.taken == kNothing) {
      to.push_back(from[exchange.given]);
      from.erase(from.begin() + static_cast<std::ptrdiff_t>(exchange.given));
    } else {
      moved -= (*costs_)[to[exchange.taken]];
      std::swap(from[exchange.given], to[exchange.taken]);
    }
    ends_[last] -= moved;
    ends_[exchange.other] += moved;
  }

  const std::vector<double>* costs_;
  std::vector<double> ends_;                 ///< by rank
  std::vector<std::vector<size_t>> chains_;  ///< by rank
};

}  // namespace

std::vector<size_t> balance(const std::vector<double>& costs_s, const std::vector<double>& free_s) {
  Division division(costs_s, free_s);
  if (costs_s.size() <= kMostBalancedChains) {
    division.improve();
    // The same draws each time: the decision must be a function of what is known.
    CounterRandom random(0);
    for (int i = 0; i < kShakes; ++i) {
      Division other = division;
      other.shake(random);
      other.improve();
      if (other.end_s() < division.end_s() * (1 - kLeastGain)) division = std::move(other);
    }
  }
  return division.ranks();
}

}  // namespace baleen
