#include "distributed/fixed_tree.h"

#include <gtest/gtest.h>

#include <string>

namespace baleen {
namespace {

struct Concatenate {
  void operator()(std::string& left, std::string& right) const { left = "(" + left + right + ")"; }
};

/// The bracketing of V leaves when they are cut into runs for `ranks` ranks, each run summed first.
std::string bracketing(int64_t shards, int ranks) {
  TreeSum<std::string, Concatenate> root{Concatenate{}};
  for (int r = 0; r < ranks; ++r) {
    const ShardRange range = shards_of_rank(shards, r, ranks);
    TreeSum<std::string, Concatenate> local{Concatenate{}};
    for (int64_t s = range.first; s < range.last; ++s)
      local.push({0, s}, std::string(1, static_cast<char>('a' + s)));
    const auto nodes = maximal_nodes(range.first, range.last);
    EXPECT_EQ(local.partials().size(), nodes.size());
    for (size_t i = 0; i < nodes.size(); ++i) {
      EXPECT_EQ(local.partials()[i].node, nodes[i]);
      root.push(nodes[i], local.partials()[i].value);
    }
  }
  return root.finish();
}

TEST(FixedTreeTest, BracketingDoesNotDependOnTheNumberOfRanks) {
  for (int64_t shards = 1; shards <= 24; ++shards) {
    const std::string one = bracketing(shards, 1);
    for (int ranks = 2; ranks <= shards; ++ranks)
      EXPECT_EQ(bracketing(shards, ranks), one) << shards << " on " << ranks;
  }
}

TEST(FixedTreeTest, IsThePairwiseTree) {
  EXPECT_EQ(bracketing(4, 1), "((ab)(cd))");
  EXPECT_EQ(bracketing(6, 1), "(((ab)(cd))(ef))");
  EXPECT_EQ(bracketing(7, 3), "(((ab)(cd))((ef)g))");
}

TEST(FixedTreeTest, ShardsAreSpreadEvenly) {
  for (int64_t shards = 1; shards <= 20; ++shards) {
    for (int ranks = 1; ranks <= shards; ++ranks) {
      int64_t next = 0;
      for (int r = 0; r < ranks; ++r) {
        const ShardRange range = shards_of_rank(shards, r, ranks);
        EXPECT_EQ(range.first, next);
        EXPECT_GE(range.last - range.first, shards / ranks);
        EXPECT_LE(range.last - range.first, shards / ranks + 1);
        next = range.last;
      }
      EXPECT_EQ(next, shards);
    }
  }
}

}  // namespace
}  // namespace baleen
