// Images of strangers in the validation of `baleen match`.
#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "experiments/gallery/match.h"
#include "experiments/gallery/match_scores.h"
#include "tests/experiments/herd.h"

namespace baleen {
namespace {

using testing::Herd;
using testing::make_herd;

/// Images of others than the herd's individuals: each is near one of its centres.
FeatureTable make_strangers(const Herd& herd, int64_t count, double noise) {
  FeatureTable strangers{"strangers", {}, {}};
  auto generator = at::detail::createCPUGenerator(77);
  std::vector<at::Tensor> rows;
  for (int64_t i = 0; i < count; ++i) {
    strangers.ids.push_back(fmt::format("stranger{}", i));
    rows.push_back(herd.gallery.features_ND[i * 3 % herd.gallery.size()] +
                   noise * at::randn({32}, generator));
  }
  strangers.features_ND = at::stack(rows).to(at::kFloat);
  return strangers;
}

TEST(MatchTest, RealStrangersAskInValidationAndAreNobodysAnswer) {
  const Herd herd = make_herd(40, 8, 0.3, 1);
  MatchOptions options;
  options.unknown = "new";
  const double by_drawn = match({{herd.gallery, herd.queries}}, herd.names, options).threshold;
  MatchModel model{herd.gallery, herd.queries};
  // They look more like individuals than others of the herd do.
  model.strangers = make_strangers(herd, 24, 0.9);
  const MatchResult result = match({model}, herd.names, options);
  EXPECT_GT(result.threshold, by_drawn + 0.01);
  EXPECT_EQ(std::ssize(result.gallery_ids), herd.gallery.size());
  for (const auto& answers : result.answers)
    for (const MatchAnswer& answer : answers) EXPECT_LT(answer.image, herd.gallery.size());
  // They make learners' validation, too: five folds need five of them.
  options.newcomers = NewcomerOptions{.with_light_gbm = false};
  EXPECT_GT(match({model}, herd.names, options).newcomer_auc.at("blend"), 0.7);
}

TEST(MatchValidationTest, DrawnStrangersJoinWhereRealOnesAreFew) {
  const Herd herd = make_herd(40, 8, 0.3, 1);
  MatchOptions options;
  options.unknown = "new";
  const Gallery gallery = gallery_of(herd.gallery.ids, herd.names);
  struct Asking {
    int64_t known = 0, drawn = 0, real = 0;
  };
  const auto asking = [&](int64_t num_strangers) {
    MatchModel model{herd.gallery, herd.queries};
    if (num_strangers > 0) model.strangers = make_strangers(herd, num_strangers, 0.9);
    const auto validation = validate(sides_of({model}), gallery, options);
    Asking counts;
    const int64_t first_stranger = herd.gallery.size() + herd.queries.size();
    for (size_t q = 0; q < validation->query_rows.size(); ++q) {
      const int64_t row = validation->query_rows[q];
      if (row >= first_stranger) {
        EXPECT_LT(row, first_stranger + num_strangers);
        EXPECT_TRUE(validation->truth[q].empty());
        ++counts.real;
      } else {
        EXPECT_LT(row, herd.gallery.size());
        ++(validation->truth[q].empty() ? counts.drawn : counts.known);
      }
    }
    EXPECT_EQ(validation->distances_MQC.front().size(0), std::ssize(validation->query_rows));
    return counts;
  };
  // 32 individuals with three images each, of which one asks.
  EXPECT_EQ(asking(0).real, 0);
  EXPECT_GT(asking(0).drawn, 0);
  EXPECT_EQ(asking(4).real, 4);
  EXPECT_GT(asking(4).drawn, 0);
  EXPECT_EQ(asking(16).real, 16);
  EXPECT_EQ(asking(16).drawn, 0);
  EXPECT_EQ(asking(16).known, 32);
  EXPECT_EQ(asking(200).real, 32) << "no more than of the known";
}

TEST(MatchEnsembleTest, SeveralModelsThatCountAreOneMoreAnchor) {
  const at::Tensor a = at::rand({2, 3}, at::kDouble), b = at::rand({2, 3}, at::kDouble);
  const auto both = with_ensemble({a, b}, {.25, .75});
  ASSERT_EQ(both.size(), 3u);
  EXPECT_TRUE(at::allclose(both[2], .25 * a + .75 * b));
  EXPECT_EQ(with_ensemble({a, b}, {1, 0}).size(), 2u);
  EXPECT_EQ(with_ensemble({a}, {1}).size(), 1u);
}

}  // namespace
}  // namespace baleen
