#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "data/sampler.h"

namespace baleen {

/// An epoch in order: rows, any of them as often as wanted, and how each is seen.
struct EpochOrder {
  EpochOrder() = default;
  EpochOrder(std::vector<int64_t> in_order)
      : rows(std::move(in_order)) {}  // NOLINT: any list is one

  std::vector<int64_t> rows;
  /// Which of them are mirrored left to right, before all other changes; empty: none.
  std::vector<uint8_t> mirrored;
  /// How often the row came before in the epoch: every turn has random draws of its own. Empty: all
  /// have the same.
  std::vector<int32_t> turns;
};

/// Some places of an order that outlives the view.
struct OrderView {
  std::span<const int64_t> rows;
  std::span<const uint8_t> mirrored;
  std::span<const int32_t> turns;

  explicit OrderView(const EpochOrder& order, const PositionRange& positions)
      : rows(part(order.rows, positions)),
        mirrored(part(order.mirrored, positions)),
        turns(part(order.turns, positions)) {}

 private:
  template <class Value>
  static std::span<const Value> part(const std::vector<Value>& all, const PositionRange& p) {
    if (all.empty()) return {};
    return std::span(all).subspan(static_cast<size_t>(p.begin), static_cast<size_t>(p.size()));
  }
};

}  // namespace baleen
