#include "experiments/gallery/key_point_scores.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "core/base/error.h"

namespace baleen {
namespace {

/// Features that say little; whom an image shows is known to the points that are counted.
struct Herd {
  FeatureTable gallery{"gallery", {}, {}}, queries{"queries", {}, {}};
  MatchNames names;
  std::vector<int64_t> shows;  ///< of the gallery, then of the queries
};

Herd make_herd(int64_t individuals, int64_t images, double noise) {
  Herd herd;
  auto generator = at::detail::createCPUGenerator(5);
  const at::Tensor centres = at::randn({individuals, 16}, generator);
  std::vector<at::Tensor> gallery, queries;
  const auto add = [&](FeatureTable& table, std::vector<at::Tensor>& rows,
                       std::map<std::string, std::string>& names, int64_t id) {
    table.ids.push_back(fmt::format("{}{}", table.source, rows.size()));
    names[table.ids.back()] = fmt::format("w{:03}", id);
    rows.push_back(centres[id] + noise * at::randn({16}, generator));
    herd.shows.push_back(id);
  };
  for (int64_t id = 0; id < individuals; ++id)
    for (int64_t image = 0; image < images; ++image)
      add(herd.gallery, gallery, herd.names.gallery, id);
  for (int64_t id = 0; id < individuals; ++id) add(herd.queries, queries, herd.names.queries, id);
  herd.gallery.features_ND = at::stack(gallery).to(at::kFloat);
  herd.queries.features_ND = at::stack(queries).to(at::kFloat);
  return herd;
}

MatchOptions with_points(const Herd& herd, bool tell_truth) {
  MatchOptions options;
  options.key_points.emplace().count = [&herd, tell_truth](const auto& pairs) {
    std::vector<int64_t> counts;
    for (const KeyPointPair& pair : pairs) {
      EXPECT_LT(pair.second, herd.gallery.size());
      const bool same = herd.shows.at(static_cast<size_t>(pair.first)) ==
                        herd.shows[static_cast<size_t>(pair.second)];
      counts.push_back(tell_truth && same ? 20 : (pair.first * 7 + pair.second * 13) % 6);
    }
    return counts;
  };
  return options;
}

TEST(KeyPointScoresTest, PointsThatTellTheTruthArePutAboveFeatures) {
  const Herd herd = make_herd(30, 3, 1.6);
  const double plain = *match({{herd.gallery, herd.queries}}, herd.names, {}).first_right;
  const MatchResult result =
      match({{herd.gallery, herd.queries}}, herd.names, with_points(herd, true));
  EXPECT_LT(plain, 0.75);
  EXPECT_GT(result.key_points->weight, 0);
  EXPECT_GT(*result.first_right, plain + 0.15);
  for (size_t q = 0; q < result.answers.size(); ++q)
    for (const MatchAnswer& answer : result.answers[q])
      if (answer.name == herd.names.queries.at(herd.queries.ids[q])) {
        EXPECT_EQ(answer.points, 20);
      }
}

TEST(KeyPointScoresTest, PointsOfNoUseChangeNothing) {
  const Herd herd = make_herd(30, 3, 0.3);
  const MatchResult plain = match({{herd.gallery, herd.queries}}, herd.names, {});
  const MatchResult result =
      match({{herd.gallery, herd.queries}}, herd.names, with_points(herd, false));
  EXPECT_EQ(result.key_points->weight, 0.0);
  EXPECT_EQ(answers_csv(result, " "), answers_csv(plain, " "));
}

TEST(KeyPointScoresTest, OnlyTheBestAreComparedAndNoQueryWithItself) {
  const Herd herd = make_herd(12, 3, 1.0);
  MatchOptions options = with_points(herd, true);
  options.key_points->candidates = 2;
  options.key_points->weight = 0.1;
  size_t num_pairs = 0;
  options.key_points->count = [&, count = options.key_points->count](const auto& pairs) {
    num_pairs += pairs.size();
    // Gallery images as queries are numbered behind the gallery.
    for (const KeyPointPair& pair : pairs) {
      EXPECT_NE(pair.first - herd.gallery.size(), pair.second);
    }
    return std::vector<int64_t>(pairs.size(), 4);
  };
  const MatchResult result = match({{herd.gallery, herd.gallery}}, herd.names, options);
  EXPECT_FALSE(result.validation.has_value()) << "a given weight needs none";
  EXPECT_EQ(at::count_nonzero(result.points_QC >= 0).item<int64_t>(), 36 * 2);
  EXPECT_LE(num_pairs, 36U * 6);
  EXPECT_GT(num_pairs, 36U * 4);
}

TEST(KeyPointScoresTest, SingleImagesAreRaised) {
  const GalleryIdentities identities{{0, 0, 1, 2}, 3};
  const at::Tensor points = at::tensor({3.0, 3.0, -1.0}, at::kDouble).view({1, 3});
  const at::Tensor term =
      key_point_term(points, identities, {.weight = 1, .added = 2, .factor = 3});
  EXPECT_DOUBLE_EQ(term[0][0].item<double>(), std::log1p(3.0));
  EXPECT_DOUBLE_EQ(term[0][1].item<double>(), std::log1p(15.0));
  EXPECT_EQ(term[0][2].item<double>(), 0.0) << "not compared";
}

TEST(KeyPointScoresTest, AWeightCannotBeChosenOnSingleImagesOnly) {
  const Herd herd = make_herd(10, 1, 0.5);
  MatchOptions options = with_points(herd, true);
  try {
    match({{herd.gallery, herd.queries}}, herd.names, options);
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("nobody in the gallery has two images"),
              std::string::npos);
  }
  options.key_points->weight = 0.2;
  EXPECT_GT(*match({{herd.gallery, herd.queries}}, herd.names, options).first_right, 0.8);
}

}  // namespace
}  // namespace baleen
