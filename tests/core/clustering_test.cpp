#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <mutex>
#include <numeric>
#include <set>
#include <thread>

#include "core/base/error.h"
#include "core/base/seeds.h"
#include "core/clustering/kmeans.h"
#include "core/clustering/relabel.h"

namespace baleen {
namespace {

/// Groups of points around far-away centres, in turn.
at::Tensor blobs(int64_t num_points, int64_t num_blobs) {
  at::manual_seed(3);
  const at::Tensor points = at::randn({num_points, 4}, at::kFloat) * 0.3;
  for (int64_t i = 0; i < num_points; ++i)
    points[i][i % num_blobs % 4].add_(10.0 * static_cast<double>(1 + i % num_blobs));
  return points;
}

double inertia_of(const at::Tensor& points, const Clustering& found) {
  const at::Tensor own = found.centroids_KF.index_select(0, at::tensor(found.clusters, at::kLong));
  return (points.to(at::kDouble) - own).square().sum().item<double>();
}

TEST(KMeansTest, FindsTheBlobs) {
  const at::Tensor points = blobs(300, 3);
  const Clustering found = kmeans(points, {.clusters = 3, .seed = 1});
  for (size_t i = 0; i < 300; ++i) EXPECT_EQ(found.clusters[i], found.clusters[i % 3]);
  EXPECT_EQ(std::set(found.clusters.begin(), found.clusters.end()).size(), 3u);
  EXPECT_NEAR(found.inertia, inertia_of(points, found), 1e-9 * found.inertia + 1e-9);
}

TEST(KMeansTest, EveryPointIsWithItsNearestMean) {
  at::manual_seed(8);
  const at::Tensor points = at::randn({700, 5}, at::kDouble);
  const Clustering found = kmeans(points, {.clusters = 6, .iterations = 1000, .seed = 2});
  const at::Tensor nearest = at::cdist(points, found.centroids_KF).argmin(1);
  EXPECT_TRUE(at::equal(nearest, at::tensor(found.clusters, at::kLong)));
  EXPECT_LT(found.iterations, 1000);
}

TEST(KMeansTest, MoreStartsAreNoWorse) {
  at::manual_seed(8);
  const at::Tensor points = at::randn({200, 3}, at::kDouble);
  const double one = kmeans(points, {.clusters = 7, .seed = 5}).inertia;
  EXPECT_LE(kmeans(points, {.clusters = 7, .starts = 8, .seed = 5}).inertia, one);
}

TEST(KMeansTest, OneClusterIsTheMean) {
  const at::Tensor points = blobs(50, 2);
  const Clustering found = kmeans(points, {.clusters = 1});
  EXPECT_TRUE(at::allclose(found.centroids_KF[0], points.to(at::kDouble).mean(0)));
}

TEST(KMeansTest, NoClusterStaysEmptyWhenPointsCoincide) {
  const at::Tensor points = at::zeros({9, 2});
  const Clustering found = kmeans(points, {.clusters = 4});
  EXPECT_EQ(std::set(found.clusters.begin(), found.clusters.end()).size(), 4u);
  EXPECT_GT(found.reseeded, 0);
  EXPECT_TRUE(at::isfinite(found.centroids_KF).all().item<bool>());
}

TEST(KMeansTest, BadInputIsNamed) {
  at::Tensor points = blobs(20, 2);
  EXPECT_THROW(kmeans(points, {.clusters = 21}), Error);
  points[13][1] = NAN;
  try {
    (void)kmeans(points, {.clusters = 2});
    ADD_FAILURE() << "NaN features were clustered";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kNumeric);
    EXPECT_THAT(error.message(), ::testing::HasSubstr("point 13"));
  }
}

/// Ranks as threads that meet at each exchange.
class Meeting {
 public:
  explicit Meeting(int64_t ranks) : rows_(static_cast<size_t>(ranks)), waiting_(ranks) {}
  at::Tensor gather(int64_t rank, const at::Tensor& rows) {
    std::unique_lock lock(mutex_);
    rows_[static_cast<size_t>(rank)] = rows;
    const int64_t round = round_;
    if (++here_ == waiting_) {
      all_ = at::cat(rows_);
      here_ = 0;
      ++round_;
      changed_.notify_all();
    } else {
      changed_.wait(lock, [&] { return round_ != round; });
    }
    return all_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<at::Tensor> rows_;
  at::Tensor all_;
  int64_t waiting_, here_ = 0, round_ = 0;
};

TEST(KMeansTest, TheSameBitsOnAnyNumberOfRanks) {
  at::manual_seed(8);
  const at::Tensor points = at::randn({2100, 6});
  const KMeansOptions options{.clusters = 5, .iterations = 20, .starts = 2, .seed = 4};
  const Clustering alone = kmeans(points, options);
  for (int64_t ranks : {2, 4}) {
    Meeting meeting(ranks);
    std::vector<Clustering> results(static_cast<size_t>(ranks));
    std::vector<std::thread> threads;
    for (int64_t rank = 0; rank < ranks; ++rank)
      threads.emplace_back([&, rank] {
        results[static_cast<size_t>(rank)] =
            kmeans(points, options, {rank, ranks, [&, rank](const at::Tensor& rows) {
                                       return meeting.gather(rank, rows);
                                     }});
      });
    for (std::thread& thread : threads) thread.join();
    for (const Clustering& each : results) {
      EXPECT_EQ(each.clusters, alone.clusters) << ranks;
      EXPECT_TRUE(at::equal(each.centroids_KF, alone.centroids_KF)) << ranks;
      EXPECT_EQ(each.inertia, alone.inertia);
    }
  }
}

TEST(RelabelTest, ACycleOfThreeIsUndone) {
  const std::vector<int64_t> before{0, 0, 0, 1, 1, 1, 2, 2, 2};
  const std::vector<int64_t> turned{1, 1, 1, 2, 2, 2, 0, 0, 0};
  const Relabelling result = relabelled(turned, before, 3);
  EXPECT_EQ(result.clusters, before);
  EXPECT_EQ(result.cost_before, 18);
  EXPECT_EQ(result.cost_after, 0);
  EXPECT_EQ(result.kept, 1.0);
}

TEST(RelabelTest, PointsOfNoClusterCountNowhere) {
  const Relabelling result = relabelled({1, 1, -1, 0, 0, 1}, {0, -1, 0, 1, 1, -1}, 2);
  EXPECT_EQ(result.clusters, (std::vector<int64_t>{0, 0, -1, 1, 1, 0}));
}

TEST(RelabelTest, NoPermutationIsCheaper) {
  CounterRandom random(7);
  for (int trial = 0; trial < 200; ++trial) {
    constexpr int64_t kClusters = 5;
    std::vector<int64_t> fresh, before;
    for (int i = 0; i < 40; ++i) {
      fresh.push_back(static_cast<int64_t>(random.below(kClusters)));
      before.push_back(static_cast<int64_t>(random.below(kClusters + 1)) - 1);
    }
    const Relabelling result = relabelled(fresh, before, kClusters);
    std::vector<int64_t> labels(kClusters);
    std::iota(labels.begin(), labels.end(), 0);
    int64_t least = 1 << 30;
    do {
      int64_t cost = 0;
      for (int64_t k = 0; k < kClusters; ++k)
        for (size_t i = 0; i < fresh.size(); ++i)
          cost += (fresh[i] == k) != (before[i] == labels[static_cast<size_t>(k)]);
      least = std::min(least, cost);
    } while (std::next_permutation(labels.begin(), labels.end()));
    EXPECT_EQ(result.cost_after, least);
  }
}

}  // namespace
}  // namespace baleen
