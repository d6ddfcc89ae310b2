#include "data/folds_balance.h"

#include <algorithm>
#include <limits>
#include <map>
#include <numeric>

namespace baleen {
namespace {

/// Work that improve_by_exchange() may do, in elementary steps: a few seconds.
constexpr int64_t kMaxExchangeWork = 2'000'000'000;

/// K·(count of a column in a fold) − (total of the column): the deviation from an equal share, as
/// an integer.
class Deviations {
 public:
  Deviations(std::span<const FoldUnit> units, int64_t num_columns, int64_t num_folds)
      : num_columns_(num_columns),
        num_folds_(num_folds),
        values_(static_cast<size_t>(num_columns * num_folds), 0) {
    for (const FoldUnit& unit : units)
      for (const auto& [column, count] : unit.counts)
        for (int64_t fold = 0; fold < num_folds; ++fold) at(fold, column) -= count;
  }

  int64_t& at(int64_t fold, int64_t column) {
    return values_[static_cast<size_t>(fold * num_columns_ + column)];
  }
  int64_t at(int64_t fold, int64_t column) const {
    return values_[static_cast<size_t>(fold * num_columns_ + column)];
  }
  void add(const FoldUnit& unit, int64_t fold, int64_t times = 1) {
    for (const auto& [column, count] : unit.counts) at(fold, column) += times * num_folds_ * count;
  }

 private:
  int64_t num_columns_;
  int64_t num_folds_;
  std::vector<int64_t> values_;
};

/// The fold with the lowest deviation in `column`; ties by lowest size, then by lot.
int64_t neediest_fold(const Deviations& deviations, int64_t column, int64_t num_folds,
                      CounterRandom& random, std::vector<int64_t>& ties) {
  ties.clear();
  std::pair<int64_t, int64_t> lowest{std::numeric_limits<int64_t>::max(), 0};
  for (int64_t fold = 0; fold < num_folds; ++fold) {
    const std::pair<int64_t, int64_t> need{deviations.at(fold, column), deviations.at(fold, 0)};
    if (need > lowest) continue;
    if (need < lowest) ties.clear();
    lowest = need;
    ties.push_back(fold);
  }
  return ties.size() == 1 ? ties[0] : ties[random.below(ties.size())];
}

/// |p − q|², for counts with ascending columns.
int64_t squared_distance(const FoldUnit& p, const FoldUnit& q) {
  int64_t sum = 0;
  auto i = p.counts.begin();
  auto j = q.counts.begin();
  while (i != p.counts.end() || j != q.counts.end()) {
    int64_t difference = 0;
    if (j == q.counts.end() || (i != p.counts.end() && i->first < j->first)) {
      difference = (i++)->second;
    } else if (i == p.counts.end() || j->first < i->first) {
      difference = (j++)->second;
    } else {
      difference = (i++)->second - (j++)->second;
    }
    sum += difference * difference;
  }
  return sum;
}

/// Search for exchanges. Units with equal counts are interchangeable: they form a pattern, and the
/// search is over patterns.
class Exchange {
 public:
  Exchange(std::span<const FoldUnit> units, int64_t num_columns, int64_t num_folds,
           std::vector<int64_t>& folds)
      : num_folds_(num_folds), folds_(folds), deviations_(units, num_columns, num_folds) {
    std::map<std::vector<std::pair<int64_t, int64_t>>, int64_t> known;
    patterns_.emplace_back();  // pattern 0 is nothing: a move is a swap with nothing
    members_.emplace_back(static_cast<size_t>(num_folds));
    for (size_t u = 0; u < units.size(); ++u) {
      const auto [entry, fresh] =
          known.try_emplace(units[u].counts, static_cast<int64_t>(patterns_.size()));
      if (fresh) {
        patterns_.push_back(units[u]);
        members_.emplace_back(static_cast<size_t>(num_folds));
      }
      members(entry->second, folds[u]).push_back(static_cast<int64_t>(u));
      deviations_.add(units[u], folds[u]);
    }
  }

  void run() {
    for (bool improved = true; improved && work_ < kMaxExchangeWork;) {
      improved = false;
      for (int64_t a = 0; a < num_folds_; ++a)
        for (int64_t b = a + 1; b < num_folds_; ++b)
          while (work_ < kMaxExchangeWork && exchange_best(a, b)) improved = true;
    }
  }

 private:
  /// s = Σ counts·(deviation in a − deviation in b): how much the pattern would rather be in b.
  struct Candidate {
    int64_t s;
    int64_t pattern;
  };

  std::vector<int64_t>& members(int64_t pattern, int64_t fold) {
    return members_[static_cast<size_t>(pattern)][static_cast<size_t>(fold)];
  }

  std::vector<Candidate> candidates(int64_t fold, int64_t a, int64_t b) {
    std::vector<Candidate> list{{0, 0}};
    for (int64_t p = 1; p < static_cast<int64_t>(patterns_.size()); ++p) {
      if (members(p, fold).empty()) continue;
      int64_t s = 0;
      for (const auto& [column, count] : patterns_[static_cast<size_t>(p)].counts)
        s += count * (deviations_.at(a, column) - deviations_.at(b, column));
      work_ += static_cast<int64_t>(patterns_[static_cast<size_t>(p)].counts.size()) + 4;
      list.push_back({s, p});
    }
    return list;
  }

  /// Swapping p of a for q of b changes the squared deviations by −2K·(s_p − s_q − K·|p − q|²);
  /// applies the largest gain.
  bool exchange_best(int64_t a, int64_t b) {
    std::vector<Candidate> from_a = candidates(a, a, b);
    std::vector<Candidate> from_b = candidates(b, a, b);
    std::stable_sort(from_a.begin(), from_a.end(),
                     [](const Candidate& x, const Candidate& y) { return x.s > y.s; });
    std::stable_sort(from_b.begin(), from_b.end(),
                     [](const Candidate& x, const Candidate& y) { return x.s < y.s; });
    int64_t best_gain = 0;
    int64_t best_p = 0;
    int64_t best_q = 0;
    for (const Candidate& p : from_a) {
      // Distinct patterns are at least 1 apart: s_p − s_q − K bounds the gain, and falls along both
      // lists.
      if (p.s - from_b.front().s - num_folds_ <= best_gain) break;
      for (const Candidate& q : from_b) {
        if (p.s - q.s - num_folds_ <= best_gain) break;
        if (p.pattern == q.pattern) continue;
        const FoldUnit& p_unit = patterns_[static_cast<size_t>(p.pattern)];
        const FoldUnit& q_unit = patterns_[static_cast<size_t>(q.pattern)];
        work_ += static_cast<int64_t>(p_unit.counts.size() + q_unit.counts.size());
        const int64_t gain = p.s - q.s - num_folds_ * squared_distance(p_unit, q_unit);
        if (gain > best_gain) {
          best_gain = gain;
          best_p = p.pattern;
          best_q = q.pattern;
        }
      }
    }
    if (best_gain == 0) return false;
    move(best_p, a, b);
    move(best_q, b, a);
    return true;
  }

  void move(int64_t pattern, int64_t from, int64_t to) {
    if (pattern == 0) return;
    const int64_t unit = members(pattern, from).back();
    members(pattern, from).pop_back();
    members(pattern, to).push_back(unit);
    deviations_.add(patterns_[static_cast<size_t>(pattern)], from, -1);
    deviations_.add(patterns_[static_cast<size_t>(pattern)], to);
    folds_[static_cast<size_t>(unit)] = to;
  }

  int64_t num_folds_;
  std::vector<int64_t>& folds_;
  Deviations deviations_;
  std::vector<FoldUnit> patterns_;
  std::vector<std::vector<std::vector<int64_t>>> members_;  ///< units by pattern and fold
  int64_t work_ = 0;
};

}  // namespace

std::vector<int64_t> distribute_iteratively(std::span<const FoldUnit> units, int64_t num_columns,
                                            int64_t num_folds, CounterRandom& random) {
  Deviations deviations(units, num_columns, num_folds);
  std::vector<std::vector<int64_t>> with_column(static_cast<size_t>(num_columns));
  std::vector<int64_t> remaining(static_cast<size_t>(num_columns), 0);
  for (size_t u = 0; u < units.size(); ++u) {
    for (const auto& [column, count] : units[u].counts) {
      with_column[static_cast<size_t>(column)].push_back(static_cast<int64_t>(u));
      remaining[static_cast<size_t>(column)] += count;
    }
  }

  std::vector<int64_t> folds(units.size(), -1);
  std::vector<int64_t> ties;
  const auto place_all = [&](int64_t column) {
    for (int64_t u : with_column[static_cast<size_t>(column)]) {
      int64_t& fold = folds[static_cast<size_t>(u)];
      if (fold >= 0) continue;
      fold = neediest_fold(deviations, column, num_folds, random, ties);
      const FoldUnit& unit = units[static_cast<size_t>(u)];
      deviations.add(unit, fold);
      for (const auto& [c, count] : unit.counts) remaining[static_cast<size_t>(c)] -= count;
    }
  };
  while (true) {
    int64_t rarest = -1;
    for (int64_t column = 1; column < num_columns; ++column) {
      const int64_t left = remaining[static_cast<size_t>(column)];
      if (left > 0 && (rarest < 0 || left < remaining[static_cast<size_t>(rarest)]))
        rarest = column;
    }
    if (rarest < 0) break;
    place_all(rarest);
  }
  place_all(0);  // samples without any label
  return folds;
}

std::vector<int64_t> distribute_greedily(std::span<const FoldUnit> units, int64_t num_columns,
                                         int64_t num_folds) {
  const auto size = [&](int64_t u) { return units[static_cast<size_t>(u)].counts.front().second; };
  std::vector<int64_t> order(units.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t x, int64_t y) { return size(x) > size(y); });

  Deviations deviations(units, num_columns, num_folds);
  std::vector<int64_t> folds(units.size(), -1);
  for (int64_t u : order) {
    // Adding d to a fold changes its squared deviations by K·d·(2·deviation + K·d); the last term
    // is the same for all.
    int64_t best_cost = std::numeric_limits<int64_t>::max();
    for (int64_t fold = 0; fold < num_folds; ++fold) {
      int64_t cost = 0;
      for (const auto& [column, count] : units[static_cast<size_t>(u)].counts)
        cost += count * deviations.at(fold, column);
      if (cost < best_cost) {
        best_cost = cost;
        folds[static_cast<size_t>(u)] = fold;
      }
    }
    deviations.add(units[static_cast<size_t>(u)], folds[static_cast<size_t>(u)]);
  }
  return folds;
}

void improve_by_exchange(std::span<const FoldUnit> units, int64_t num_columns, int64_t num_folds,
                         std::vector<int64_t>& folds) {
  Exchange(units, num_columns, num_folds, folds).run();
}

}  // namespace baleen
