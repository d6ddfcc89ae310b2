// Fusion of ranked lists, with the published sums.
#include "experiments/ensemble/ranked_lists.h"

#include <ATen/ATen.h>

#include <fstream>

#include "experiments/ensemble/stack_job.h"
#include "tests/data/expect_error.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

using ::testing::ElementsAre;
using Lists = std::vector<std::vector<std::string>>;

/// "abcde" as a list of five labels.
std::vector<std::string> letters(const std::string& text) {
  std::vector<std::string> list;
  for (const char letter : text) list.push_back({letter});
  return list;
}

Lists lists(std::initializer_list<std::string> texts) {
  Lists result;
  for (const std::string& text : texts) result.push_back(letters(text));
  return result;
}

TEST(RankedLists, SumsAreThePublishedOnes) {
  StackJob job;
  job.inputs = {{.path = "a", .public_score = .883}, {.path = "b", .public_score = .912}};
  const std::vector<double> weights = weights_of(job);
  EXPECT_NEAR(weights[0], .779689, 1e-12);
  EXPECT_NEAR(weights[1], .831744, 1e-12);
  const std::vector<std::pair<std::string, double>> expected = {
      {"b", 1.2215885}, {"a", 1.1955610}, {"c", .4678323}, {"f", .2772480},
      {"d", .1949223},  {"n", .1663488},  {"e", .1559378}};
  const auto sums = sum_lists(lists({"abcde", "bafcn"}), weights);
  ASSERT_EQ(sums.size(), expected.size());
  for (size_t i = 0; i < sums.size(); ++i) {
    EXPECT_EQ(sums[i].first, expected[i].first);
    EXPECT_NEAR(sums[i].second, expected[i].second, 5.1e-8) << sums[i].first;
  }
  EXPECT_EQ(fuse_lists(lists({"abcde", "bafcn"}), weights, 5), letters("bacfd"));
}

TEST(RankedLists, WeightsAreTheSquaresOfPublicScores) {
  StackJob job;
  for (const double score : {.883, .884, .901, .905, .908, .912})
    job.inputs.push_back({.path = "x", .weight = 7, .public_score = score});
  const double expected[] = {.779689, .781456, .811801, .819025, .824464, .831744};
  const std::vector<double> weights = weights_of(job);
  for (size_t s = 0; s < weights.size(); ++s) EXPECT_NEAR(weights[s], expected[s], 5e-7);
}

TEST(RankedLists, OfEqualSumsTheLabelThatWasSeenFirstWins) {
  const std::vector<double> one = {1}, two = {1, 1};
  // a: 1 + 1/3, c: 1/3 + 1, b: 1/2 + 1/2.
  EXPECT_EQ(fuse_lists(lists({"abc", "cba"}), two, 5), letters("acb"));
  EXPECT_EQ(fuse_lists(lists({"cba", "abc"}), two, 5), letters("cab"));
  // All labels of four lists of one: equal sums, in the files' order.
  const std::vector<double> four(4, 1.0);
  EXPECT_EQ(fuse_lists(lists({"d", "b", "a", "c"}), four, 3), letters("dba"));
  EXPECT_EQ(fuse_lists(lists({"ab"}), one, 5), letters("ab")) << "shorter lists are allowed";
}

TEST(RankedLists, ALabelThatARowRepeatsCountsOnceAtItsFirstPlace) {
  const testing::TemporaryDirectory folder;
  const auto write = [&](const char* name, const char* text) {
    std::ofstream(folder / name) << text;
    return (folder / name).string();
  };
  StackJob job;
  job.inputs = {{.path = write("one.csv", "Image,Id\nx,b a b b\ny,a\n")},
                {.path = write("two.csv", "Image,Id\ny,c a\nx,c a\n")}};
  job.as = "lists";
  job.output = (folder / "out").string();
  const std::string text = run_stack_job(job);
  EXPECT_THAT(text, ::testing::HasSubstr("1 rows repeat a label"));
  // x: b 1, a 1/2 + 1/2, c 1; were b counted thrice it would have 1 + 1/3 + 1/4. y: a 1 + 1/2.
  std::ifstream file(folder / "out/submission.csv");
  std::string table{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(table, "Image,Id\nx,b a c\ny,a c\n");
}

TEST(RankedLists, TheNewLabelGoesBeforeTheFirstThatScoresLess) {
  const auto list = [](std::vector<double> scores, double threshold, int64_t length) {
    const std::vector<std::string> names = {"a", "b", "c"};
    return list_of_scores(at::tensor(scores, at::kDouble), names, "new", threshold, length);
  };
  EXPECT_THAT(list({.3, .95, .92}, .92, 5), ElementsAre("b", "c", "new", "a"));
  EXPECT_THAT(list({.3, .95, .92}, .93, 2), ElementsAre("b", "new"));
  EXPECT_THAT(list({.3, .3, .2}, .9, 5), ElementsAre("new", "a", "b", "c"));
  EXPECT_THAT(list({.97, .95, .96}, .9, 5), ElementsAre("a", "c", "b", "new"));
}

}  // namespace
}  // namespace baleen
