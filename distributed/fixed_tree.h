#pragma once

#include <bit>
#include <cstdint>
#include <utility>
#include <vector>

#include "core/training/gradient_reducer.h"

namespace baleen {

/// A node of the fixed summation tree over V logical shards: (level l, index i) covers shards
/// [i·2^l, (i+1)·2^l), cut at V. Two siblings are added left + right; a left node without a right
/// sibling (V no power of two) is carried up as it is. Floating-point sums that follow this tree
/// have the same bits however the shards lie on ranks (docs/determinism.md).
struct TreeNode {
  int level = 0;
  int64_t index = 0;
  bool operator==(const TreeNode&) const = default;
};

/// The run of shards that `rank` of `size` owns: balanced, consecutive.
inline ShardRange shards_of_rank(int64_t total, int rank, int size) {
  return {total * rank / size, total * (rank + 1) / size, total};
}

/// The fewest nodes that cover shards [first, last) exactly, left to right.
inline std::vector<TreeNode> maximal_nodes(int64_t first, int64_t last) {
  std::vector<TreeNode> nodes;
  while (first < last) {
    int level = first ? std::countr_zero(static_cast<uint64_t>(first)) : 62;
    while ((int64_t{1} << level) > last - first) --level;
    nodes.push_back({level, first >> level});
    first += int64_t{1} << level;
  }
  return nodes;
}

/// Sums values in the order of the tree while they arrive left to right, like a binary counter: at
/// most log2(V) + 1 partial sums are alive. `Add` is called as add(left, right) and leaves the sum
/// in `left`.
template <class Value, class Add>
class TreeSum {
 public:
  struct Partial {
    TreeNode node;
    Value value;
  };

  explicit TreeSum(Add add) : add_(std::move(add)) {}

  /// True if a value for `node` would be added to the newest partial sum at once.
  bool merges(const TreeNode& node) const {
    return !partials_.empty() && (node.index & 1) && partials_.back().node.level == node.level &&
           partials_.back().node.index == (node.index ^ 1);
  }

  void push(TreeNode node, Value value) {
    while (merges(node)) {
      Value left = std::move(partials_.back().value);
      partials_.pop_back();
      add_(left, value);
      value = std::move(left);
      node = {node.level + 1, node.index >> 1};
    }
    partials_.push_back({node, std::move(value)});
  }

  /// Adds what is left, right to left (the carried-up right edge), and returns the sum. Needs at
  /// least one push.
  Value finish() {
    while (partials_.size() > 1) {
      Value right = std::move(partials_.back().value);
      partials_.pop_back();
      add_(partials_.back().value, right);
    }
    Value sum = std::move(partials_.front().value);
    partials_.clear();
    return sum;
  }

  const std::vector<Partial>& partials() const { return partials_; }
  Partial pop() {
    Partial last = std::move(partials_.back());
    partials_.pop_back();
    return last;
  }
  void clear() { partials_.clear(); }

 private:
  Add add_;
  std::vector<Partial> partials_;
};

}  // namespace baleen
