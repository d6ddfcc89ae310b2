#include "core/metrics/retrieval.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/base/error.h"
#include "core/metrics/metrics.h"
#include "tests/experiments/oracle.h"

namespace baleen {
namespace {

TEST(RetrievalTest, EqualsScikitLearn) {
  const auto answer = testing::ask_oracle("retrieval_metrics.py");
  if (!answer) GTEST_SKIP() << "BALEEN_PYTHON is not set";
  const at::Tensor relevant = testing::tensor_of(answer->at("relevant"));
  EXPECT_LT(testing::worst_difference(average_precision_at_Q(relevant, relevant.sum(1), 30),
                                      testing::tensor_of(answer->at("average_precision"))),
            1e-12);
  const at::Tensor ranked = testing::tensor_of(answer->at("ranked"));
  for (const auto& [k, value] : answer->at("recall").items())
    EXPECT_NEAR(recall_at(ranked, ranked.sum(1), std::stoll(k)), value.get<double>(), 1e-12);
  for (const auto& pair : answer->at("nmi")) {
    const auto a = pair.at("a").get<std::vector<int64_t>>();
    const auto b = pair.at("b").get<std::vector<int64_t>>();
    EXPECT_NEAR(normalized_mutual_information(a, b), pair.at("value").get<double>(), 1e-12);
  }
  const auto& auc = answer->at("auc");
  EXPECT_NEAR(roc_auc(testing::tensor_of(auc.at("truth")), testing::tensor_of(auc.at("scores"))),
              auc.at("value").get<double>(), 1e-12);
}

TEST(RetrievalTest, AveragePrecisionIsCutAtK) {
  // Places 1 and 3 of three relevant items: (1 + 2/3) / min(3, 5).
  const at::Tensor relevant = at::tensor({1, 0, 1, 0, 0, 1}).view({1, 6});
  EXPECT_NEAR(mean_average_precision_at(relevant, at::tensor({3}), 5), (1 + 2.0 / 3) / 3, 1e-15);
  EXPECT_NEAR(mean_average_precision_at(relevant, at::tensor({9}), 2), 0.5, 1e-15);
  // Lists shorter than k.
  EXPECT_NEAR(mean_average_precision_at(relevant, at::tensor({3}), 100), (1 + 2.0 / 3 + 0.5) / 3,
              1e-15);
}

TEST(RetrievalTest, QueriesWithNothingToFindAreLeftOut) {
  const at::Tensor relevant = at::tensor({1, 0, 0, 0}).view({2, 2});
  EXPECT_DOUBLE_EQ(mean_average_precision_at(relevant, at::tensor({1, 0}), 5), 1.0);
  EXPECT_DOUBLE_EQ(recall_at(relevant, at::tensor({1, 0}), 1), 1.0);
  EXPECT_DOUBLE_EQ(recall_at(relevant, at::tensor({1, 1}), 1), 0.5);
  EXPECT_TRUE(std::isnan(recall_at(relevant, at::tensor({0, 0}), 1)));
  EXPECT_TRUE(std::isnan(mean_average_precision_at(relevant, at::tensor({0, 0}), 1)));
}

TEST(RetrievalTest, ReciprocalPlacesOfContests) {
  const auto letters = [](const std::string& text) {
    std::vector<std::string> names;
    for (const char letter : text) names.emplace_back(1, letter);
    return names;
  };
  const std::vector<std::vector<std::string>> ranked = {letters("abcde"), letters("bacde"),
                                                        letters("xyzuv"), letters("cdeab")};
  const std::vector<std::string> truth = {"a", "a", "a", "b"};
  EXPECT_NEAR(mean_reciprocal_place(ranked, truth, 5), (1 + 0.5 + 0 + 0.2) / 4, 1e-15);
  // The name that comes again takes no place.
  const std::vector<std::vector<std::string>> repeated = {letters("xxa")};
  EXPECT_NEAR(mean_reciprocal_place(repeated, std::vector<std::string>{"a"}, 2), 0.5, 1e-15);
  EXPECT_THROW(mean_reciprocal_place(ranked, std::vector<std::string>{"a"}, 5), Error);
}

TEST(RetrievalTest, OneClusterOnBothSidesIsAgreement) {
  const std::vector<int64_t> one(5, 3), none;
  EXPECT_EQ(normalized_mutual_information(one, one), 1.0);
  EXPECT_EQ(normalized_mutual_information(none, none), 1.0);
  EXPECT_THROW(normalized_mutual_information(one, none), Error);
}

}  // namespace
}  // namespace baleen
