// k-means against scikit-learn's, from the same first centroids.
#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/clustering/kmeans.h"
#include "core/weights/safetensors.h"
#include "tests/parity/oracle.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

struct Problem {
  at::Tensor points_NF, first_KF;
};

/// Blots that overlap, so that it takes some iterations, and first centroids among the points.
Problem problem(uint64_t seed, int64_t num_points, int64_t clusters, int64_t width) {
  at::manual_seed(seed);
  const at::Tensor centres = 2 * at::randn({clusters, width}, at::kDouble);
  const at::Tensor own = at::randint(clusters, {num_points}, at::kLong);
  const at::Tensor points =
      centres.index_select(0, own) + at::randn({num_points, width}, at::kDouble);
  return {points, points.narrow(0, 0, clusters).clone()};
}

TEST(KMeansParity, InertiaIsThatOfScikitLearnFromTheSameCentroids) {
  constexpr int64_t kIterations = 300;
  const testing::TemporaryDirectory directory;
  const std::vector<Problem> problems{problem(1, 300, 3, 2), problem(2, 1500, 8, 16),
                                      problem(3, 700, 20, 5)};
  for (size_t i = 0; i < problems.size(); ++i)
    write_safetensors(directory / fmt::format("{}.in.safetensors", i),
                      {{"points", problems[i].points_NF}, {"first", problems[i].first_KF}},
                      {{"settings", nlohmann::json{{"iterations", kIterations}}.dump()}});
  BALEEN_RUN_ORACLE("kmeans.py", directory.path());
  for (size_t i = 0; i < problems.size(); ++i) {
    const auto& [points, first] = problems[i];
    const Clustering ours =
        kmeans(points, {.clusters = first.size(0), .iterations = kIterations, .first_KF = first});
    const SafetensorsFile theirs(directory / fmt::format("{}.out.safetensors", i));
    const double inertia = theirs.tensor("inertia").item<double>();
    EXPECT_NEAR(ours.inertia, inertia, 1e-9 * inertia) << i;
    EXPECT_TRUE(at::allclose(ours.centroids_KF, theirs.tensor("centroids"), 1e-9, 1e-9)) << i;
    EXPECT_TRUE(at::equal(at::tensor(ours.clusters, at::kLong), theirs.tensor("clusters"))) << i;
    EXPECT_GT(ours.iterations, 2) << i;
  }
}

TEST(KMeansTest, FirstCentroidsOfAnotherShapeAreRefused) {
  const Problem some = problem(1, 30, 3, 2);
  EXPECT_THROW(kmeans(some.points_NF, {.clusters = 4, .first_KF = some.first_KF}), Error);
  EXPECT_THROW(kmeans(some.points_NF, {.clusters = 3, .first_KF = some.first_KF.t()}), Error);
}

}  // namespace
}  // namespace baleen
