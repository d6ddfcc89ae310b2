#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/base/error.h"
#include "core/matching/decisions.h"
#include "core/matching/identity_scores.h"
#include "core/matching/reranking.h"
#include "core/matching/top_k.h"
#include "tests/experiments/oracle.h"

namespace baleen {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

at::Tensor random_features(int64_t rows, int64_t width, uint64_t seed) {
  return at::randn({rows, width}, at::detail::createCPUGenerator(seed));
}

TEST(TopKTest, EqualsSortingAllScoresInAnyCut) {
  // Few queries go by matrix products, many by tiles that are not all filled.
  for (const int64_t num_queries : {5, 24, 700}) {
    const at::Tensor queries = random_features(num_queries, 24, 1);
    const at::Tensor gallery = random_features(2501, 24, 2);
    TopKSearch search(queries, 7), at_once(queries, 7);
    for (int64_t first = 0; first < 2501; first += 900)
      search.add(gallery.narrow(0, first, std::min<int64_t>(900, 2501 - first)), first);
    at_once.add(gallery, 0);
    const TopK found = search.result();
    const auto [scores, rows] = at::mm(queries, gallery.t()).topk(7, 1);
    EXPECT_TRUE(at::equal(found.rows_QK, rows)) << num_queries;
    EXPECT_TRUE(at::allclose(found.scores_QK, scores, 1e-5, 1e-5)) << num_queries;
    EXPECT_TRUE(at::equal(found.rows_QK, at_once.result().rows_QK)) << num_queries;
  }
}

TEST(TopKTest, ScoresThatAreNoNumbersAreAboveNothing) {
  at::Tensor gallery = random_features(40, 8, 3);
  gallery[11].fill_(NAN);
  for (const int64_t num_queries : {3, 60}) {
    TopKSearch search(random_features(num_queries, 8, 4), 40);
    search.add(gallery, 0);
    const TopK found = search.result();
    EXPECT_FALSE(found.rows_QK.eq(11).any().item<bool>());
    EXPECT_TRUE(found.rows_QK.select(1, 39).eq(-1).all().item<bool>());
  }
}

TEST(TopKTest, EqualScoresGoByRowAndShortGalleriesEnd) {
  TopKSearch search(at::ones({1, 2}), 4);
  search.add(at::ones({3, 2}), 10);
  const TopK found = search.result();
  EXPECT_TRUE(at::equal(found.rows_QK, at::tensor({10, 11, 12, -1}, at::kLong).view({1, 4})));
  EXPECT_EQ(found.scores_QK[0][3].item<double>(), -kInfinity);
  EXPECT_THROW(search.add(at::ones({3, 5}), 0), Error);
  EXPECT_THROW(TopKSearch(at::ones({1, 2}), 0), Error);
}

TEST(TopKTest, PartsOfTheGalleryMergeToTheWhole) {
  // Rounded, so that scores tie across the parts.
  const at::Tensor queries = random_features(50, 3, 1).round();
  const at::Tensor gallery = random_features(400, 3, 2).round();
  TopKSearch whole(queries, 5), left(queries, 5), right(queries, 5);
  whole.add(gallery, 0);
  left.add(gallery.narrow(0, 0, 137), 0);
  right.add(gallery.narrow(0, 137, 263), 137);
  const TopK merged = merge_top_k({right.result(), left.result()}, 5);
  EXPECT_TRUE(at::equal(merged.rows_QK, whole.result().rows_QK));
  EXPECT_TRUE(at::equal(merged.scores_QK, whole.result().scores_QK));
}

TEST(IdentityScoresTest, MaxMeanAndTopMeanOfImages) {
  const at::Tensor gallery =
      at::tensor({1.0, 0.0, 0.6, 0.8, 0.0, 1.0, 0.8, 0.6}).to(at::kFloat).view({4, 2});
  const at::Tensor query = at::tensor({1.0, 0.0}).to(at::kFloat).view({1, 2});
  const GalleryIdentities identities{{1, 0, 0, 1}, 3};
  const auto scores = [&](IdentityScoreOptions options, std::vector<int64_t> own = {}) {
    const at::Tensor row = identity_scores(query, gallery, identities, options, own)[0];
    return std::vector<float>(row.const_data_ptr<float>(), row.const_data_ptr<float>() + 3);
  };
  const auto none = -std::numeric_limits<float>::infinity();
  using ::testing::ElementsAre;
  using ::testing::FloatNear;
  const auto near = [](double value) { return FloatNear(static_cast<float>(value), 1e-6f); };
  EXPECT_THAT(scores({IdentityScore::kMax}), ElementsAre(near(.6), near(1), none));
  EXPECT_THAT(scores({IdentityScore::kTopMean, 2}), ElementsAre(near(.3), near(.9), none));
  EXPECT_THAT(scores({IdentityScore::kTopMean, 1}), ElementsAre(near(.6), near(1), none));
  EXPECT_THAT(scores({IdentityScore::kMean, 1, false}), ElementsAre(near(.3), near(.9), none));
  EXPECT_THAT(scores({IdentityScore::kMean, 1, true}),
              ElementsAre(near(.3 / std::hypot(.3, .9)), near(.9 / std::hypot(.9, .3)), none));
  // The query is gallery image 0 itself.
  EXPECT_THAT(scores({IdentityScore::kMax}, {0}), ElementsAre(near(.6), near(.8), none));
  EXPECT_THAT(scores({IdentityScore::kTopMean, 3}, {0}), ElementsAre(near(.3), near(.8), none));
  EXPECT_THAT(scores({IdentityScore::kMean, 1, true}, {0}),
              ElementsAre(near(.3 / std::hypot(.3, .9)), near(.8), none));
  const GalleryIdentities alone{{0, 1, 1, 1}, 2};
  for (const auto kind : {IdentityScore::kMax, IdentityScore::kMean, IdentityScore::kTopMean})
    EXPECT_EQ(identity_scores(query, gallery, alone, {kind}, {0})[0][0].item<float>(), none);
}

TEST(DistanceMapTest, GoldenValuesAndScikitLearn) {
  const at::Tensor d =
      at::tensor({0.0, 0.5, 1.0, std::sqrt(2.0), 2.0, 10.0, -1e-9}, at::kDouble).view({1, 7});
  const at::Tensor expected =
      at::tensor({1.0, .746064, .655055, .612744, .574291, .449811, 1.0}, at::kDouble);
  EXPECT_LT((map_distances(d, {})[0] - expected).abs().max().item<double>(), 1e-6);
  const auto answer = testing::ask_oracle("gallery_matching.py");
  if (!answer) GTEST_SKIP() << "BALEEN_PYTHON is not set";
  const at::Tensor distances = testing::tensor_of(answer->at("distances"));
  for (const char* name : {"softmax", "student", "gaussian"}) {
    DistanceMapOptions options{distance_map_from_name(name), 0.25, 4.0};
    EXPECT_LT(testing::worst_difference(map_distances(distances, options),
                                        testing::tensor_of(answer->at(name))),
              1e-5)
        << name;
    EXPECT_STREQ(name_of(options.map), name);
  }
  EXPECT_THROW(distance_map_from_name("logarithm"), Error);
}

TEST(RerankingTest, EqualsTheFormulaInNumpy) {
  const auto answer = testing::ask_oracle("gallery_matching.py");
  if (!answer) GTEST_SKIP() << "BALEEN_PYTHON is not set";
  for (const auto& item : answer->at("reranked")) {
    const RerankOptions options{item.at("k1"), item.at("k2"), item.at("weight")};
    const at::Tensor found =
        reranked_distances(testing::tensor_of(item.at("queries")).to(at::kFloat),
                           testing::tensor_of(item.at("gallery")).to(at::kFloat), options);
    EXPECT_LT(
        testing::worst_difference(found.to(at::kDouble), testing::tensor_of(item.at("expected"))),
        1e-5)
        << "k1 " << options.neighbours;
  }
}

TEST(RerankingTest, CopiesAndFewImagesAreFine) {
  const at::Tensor same = at::ones({4, 3});
  const at::Tensor found = reranked_distances(same, same, {});
  EXPECT_TRUE(at::isfinite(found).all().item<bool>());
  EXPECT_LT(found.max().item<double>(), 1e-6) << "all images are alike";
  EXPECT_THROW(reranked_distances(same, same, {.neighbours = 0}), Error);
}

const std::vector<std::string> kNames = {"ann", "bob", "cy"};

TEST(BestNamesTest, UnknownComesBeforeTheFirstBelowTheThreshold) {
  const at::Tensor scores = at::tensor({0.5, 0.9, 0.5}, at::kDouble);
  using ::testing::ElementsAre;
  EXPECT_THAT(best_names(scores, kNames, 5, "new", 0.95), ElementsAre("new", "bob", "ann", "cy"));
  EXPECT_THAT(best_names(scores, kNames, 2, "new", 0.7), ElementsAre("bob", "new"));
  EXPECT_THAT(best_names(scores, kNames, 5, "new", 0.9), ElementsAre("bob", "new", "ann", "cy"));
  EXPECT_THAT(best_names(scores, kNames, 5, "new", 0.1), ElementsAre("bob", "ann", "cy"));
  EXPECT_THAT(best_names(scores, kNames, 5, "", 0.95), ElementsAre("bob", "ann", "cy"));
  const at::Tensor one = at::tensor({-kInfinity, 0.9, -kInfinity}, at::kDouble);
  EXPECT_THAT(best_names(one, kNames, 5, "", 0.0), ElementsAre("bob"));
}

/// The worth of a threshold, by making the answers.
double worth(const at::Tensor& scores, const std::vector<std::string>& truth, double threshold) {
  double sum = 0.0;
  for (int64_t q = 0; q < std::ssize(truth); ++q) {
    const auto answers = best_names(scores[q], kNames, 2, "new", threshold);
    const auto& wanted = truth[q].empty() ? std::string("new") : truth[q];
    const auto place = std::find(answers.begin(), answers.end(), wanted) - answers.begin();
    if (place < std::ssize(answers)) sum += 1.0 / static_cast<double>(place + 1);
  }
  return sum / static_cast<double>(truth.size());
}

TEST(ThresholdTest, NoOtherThresholdIsWorthMore) {
  for (const uint64_t seed : {1, 2, 3, 4, 5}) {
    at::Tensor scores = at::rand({40, 3}, at::detail::createCPUGenerator(seed), at::kDouble);
    scores = (scores * 10).round() / 10;  // ties
    std::vector<std::string> truth;
    for (int64_t q = 0; q < 40; ++q)
      truth.push_back(q % 3 == 0 ? ""
                                 : kNames[static_cast<size_t>(scores[q].argmax().item<int64_t>())]);
    const ThresholdChoice chosen = choose_threshold(scores, kNames, truth, 2);
    EXPECT_NEAR(chosen.score, worth(scores, truth, chosen.threshold), 1e-12);
    for (double threshold = -0.05; threshold < 1.2; threshold += 0.05)
      EXPECT_LE(worth(scores, truth, threshold), chosen.score + 1e-12) << threshold;
    const double share = threshold_for_share(scores, 0.25);
    const at::Tensor below = scores.amax({1}).lt(share).sum();
    EXPECT_NEAR(below.item<double>(), 10, 8);
  }
  EXPECT_THROW(choose_threshold(at::zeros({0, 3}), kNames, {}, 5), Error);
  const at::Tensor distinct = at::arange(8, at::kDouble).view({8, 1});
  EXPECT_DOUBLE_EQ(threshold_for_share(distinct, 0.25), 1.5);
  EXPECT_EQ(threshold_for_share(distinct, 0.0), -kInfinity);
  EXPECT_GT(threshold_for_share(distinct, 1.0), 7.0);
}

TEST(ThresholdTest, NotANumberIsRefusedAndWhoIsNotThereIsNoAnswer) {
  const double infinity = std::numeric_limits<double>::infinity();
  const std::vector<std::string> names{"a", "b", "c"}, truth{"a", "x"};
  const at::Tensor scores =
      at::tensor({0.9, -infinity, 0.2, 0.4, -infinity, 0.1}, at::kDouble).view({2, 3});
  const ThresholdChoice choice = choose_threshold(scores, names, truth, 3);
  EXPECT_DOUBLE_EQ(choice.threshold, (0.4 + 0.9) / 2);
  EXPECT_DOUBLE_EQ(choice.score, 1.0);
  EXPECT_EQ(best_names(scores[0], names, 3, "x", 0.5), (std::vector<std::string>{"a", "x", "c"}));
  EXPECT_EQ(best_names(scores[0], names, 3, "x", 0.0), (std::vector<std::string>{"a", "c"}));
  EXPECT_THROW(choose_threshold(scores * 0, names, truth, 3), Error);
}

TEST(WeightsTest, AModelThatKnowsNothingIsLeftOut) {
  at::Tensor right = at::rand({60, 3}, at::detail::createCPUGenerator(1), at::kDouble) * 0.1;
  const at::Tensor noise = at::rand({60, 3}, at::detail::createCPUGenerator(2), at::kDouble);
  std::vector<std::string> truth;
  for (int64_t q = 0; q < 60; ++q) {
    right[q][q % 3] += 0.11;
    truth.push_back(kNames[static_cast<size_t>(q % 3)]);
  }
  const auto weights = choose_weights({right, noise}, kNames, truth, 1);
  EXPECT_NEAR(weights[0] + weights[1], 1.0, 1e-12);
  EXPECT_GT(weights[0], 0.9);
}

}  // namespace
}  // namespace baleen
