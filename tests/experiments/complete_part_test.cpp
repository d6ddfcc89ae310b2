#include "experiments/complete_part.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace baleen {
namespace {

/// Two networks, two seeds, three folds.
PreparedRun run_of_twelve() {
  PreparedRun run;
  run.recipe.seeds = {1, 2};
  for (const int64_t seed : run.recipe.seeds) {
    for (int64_t fold = 0; fold < 3; ++fold) {
      for (const char* label : {"a", "b"}) {
        ChainSpec chain;
        chain.index = std::ssize(run.plan.chains);
        chain.name = fmt::format("{}-f{}-s{}", label, fold, seed);
        chain.backbone_label = label;
        chain.fold = fold;
        chain.seed = seed;
        run.plan.chains.push_back(chain);
      }
    }
  }
  return run;
}

JournalState all_but(const PreparedRun& run, const std::vector<std::string>& missing) {
  JournalState journal;
  for (const ChainSpec& chain : run.plan.chains) {
    if (std::find(missing.begin(), missing.end(), chain.name) != missing.end()) continue;
    journal.finished_chains[chain.name].name = chain.name;
  }
  return journal;
}

std::vector<std::string> names_of(const PreparedRun& run) {
  std::vector<std::string> names;
  for (const ChainSpec& chain : run.plan.chains) names.push_back(chain.name);
  return names;
}

TEST(CompletePart, ACompleteRunIsAllOfIt) {
  const PreparedRun run = run_of_twelve();
  const PreparedRun part = complete_part(run, all_but(run, {}));
  EXPECT_EQ(names_of(part), names_of(run));
  EXPECT_TRUE(part.left_out.empty());
  EXPECT_TRUE(describe_left_out(part).empty());
}

TEST(CompletePart, ModelsThatLackAFoldAreLeftOutWithAllTheirChains) {
  const PreparedRun run = run_of_twelve();
  const PreparedRun part = complete_part(run, all_but(run, {"a-f1-s2", "b-f0-s1", "b-f2-s1"}));
  EXPECT_EQ(names_of(part), (std::vector<std::string>{"a-f0-s1", "a-f1-s1", "a-f2-s1", "b-f0-s2",
                                                      "b-f1-s2", "b-f2-s2"}));
  EXPECT_EQ(describe_left_out(part),
            (std::vector<std::string>{"b-s1 is left out: b-f0-s1, b-f2-s1 are not finished",
                                      "a-s2 is left out: a-f1-s2 is not finished"}));
}

TEST(CompletePart, NothingIsLeftWhereEveryModelLacksAFold) {
  PreparedRun run = run_of_twelve();
  const PreparedRun part =
      complete_part(run, all_but(run, {"a-f0-s1", "b-f0-s1", "a-f2-s2", "b-f2-s2"}));
  EXPECT_TRUE(part.plan.chains.empty());
  EXPECT_EQ(part.left_out.size(), 4u);
}

TEST(CompletePart, TheMissingChainBringsItsModelBack) {
  const PreparedRun run = run_of_twelve();
  JournalState journal = all_but(run, {"a-f1-s2"});
  EXPECT_EQ(complete_part(run, journal).plan.chains.size(), 9u);
  journal.finished_chains["a-f1-s2"].name = "a-f1-s2";
  EXPECT_EQ(names_of(complete_part(run, journal)), names_of(run));
}

}  // namespace
}  // namespace baleen
