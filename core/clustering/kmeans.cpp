#include "core/clustering/kmeans.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <set>

#include "core/base/error.h"
#include "core/base/seeds.h"

namespace baleen {
namespace {

constexpr int64_t kPartSize = 512;  ///< points whose sums are taken together

struct Part {
  int64_t first;
  int64_t size;
};

/// Nearest centroid of each point and its squared distance, [N] each.
struct Nearest {
  at::Tensor clusters;
  at::Tensor squares;
};

class Lloyd {
 public:
  Lloyd(const at::Tensor& points_NF, const KMeansOptions& options, const KMeansShare& share)
      : points_(points_NF.to(at::kDouble).contiguous()), options_(options), share_(share) {
    const int64_t n = points_.size(0);
    for (int64_t first = 0; first < n; first += kPartSize)
      parts_.push_back({first, std::min(kPartSize, n - first)});
  }

  Clustering run(uint64_t start) {
    Clustering result;
    at::Tensor centroids = first_centroids(start);
    Nearest nearest = assign(centroids);
    for (;;) {
      result.reseeded += fill_empty(nearest);
      centroids = means(nearest.clusters);
      ++result.iterations;
      const at::Tensor before = nearest.clusters;
      nearest = assign(centroids);
      if (at::equal(before, nearest.clusters) || result.iterations >= options_.iterations) break;
    }
    if (const int64_t filled = fill_empty(nearest); filled > 0) {
      result.reseeded += filled;
      centroids = means(nearest.clusters);
      nearest.squares = squares_to_own(centroids, nearest.clusters);
    }
    result.centroids_KF = centroids;
    result.inertia = nearest.squares.sum().item<double>();
    const int64_t* cells = nearest.clusters.const_data_ptr<int64_t>();
    result.clusters.assign(cells, cells + nearest.clusters.numel());
    return result;
  }

 private:
  /// This rank's parts, [first, last).
  std::pair<size_t, size_t> own_parts() const {
    const auto total = static_cast<int64_t>(parts_.size());
    return {static_cast<size_t>(total * share_.rank / share_.num_ranks),
            static_cast<size_t>(total * (share_.rank + 1) / share_.num_ranks)};
  }

  at::Tensor gathered(std::vector<at::Tensor> rows, int64_t width) const {
    const at::Tensor mine =
        rows.empty() ? at::zeros({0, width}, at::kDouble) : at::cat(rows).view({-1, width});
    return share_.num_ranks > 1 ? share_.gather(mine.contiguous()) : mine;
  }

  Nearest assign(const at::Tensor& centroids_KF) const {
    if (share_.check_stop) share_.check_stop();
    const at::Tensor lengths = centroids_KF.square().sum(1).unsqueeze(0);
    std::vector<at::Tensor> rows;
    const auto [first, last] = own_parts();
    for (size_t p = first; p < last; ++p) {
      const at::Tensor part = points_.narrow(0, parts_[p].first, parts_[p].size);
      const at::Tensor squares =
          (part.square().sum(1).unsqueeze(1) + lengths - 2 * part.matmul(centroids_KF.t()))
              .clamp_min(0);
      const auto [least, which] = squares.min(1);
      rows.push_back(at::stack({which.to(at::kDouble), least}, 1));
    }
    const at::Tensor all = gathered(rows, 2);
    return {all.select(1, 0).to(at::kLong).contiguous(), all.select(1, 1).contiguous()};
  }

  at::Tensor means(const at::Tensor& clusters_N) const {
    const int64_t k = options_.clusters, width = points_.size(1);
    std::vector<at::Tensor> rows;
    const auto [first, last] = own_parts();
    for (size_t p = first; p < last; ++p) {
      const at::Tensor part = points_.narrow(0, parts_[p].first, parts_[p].size);
      const at::Tensor own = clusters_N.narrow(0, parts_[p].first, parts_[p].size);
      const at::Tensor sums = at::zeros({k, width + 1}, at::kDouble);
      sums.index_add_(0, own, at::cat({part, at::ones({part.size(0), 1}, at::kDouble)}, 1));
      rows.push_back(sums.view({1, -1}));
    }
    const at::Tensor all = gathered(rows, k * (width + 1));
    at::Tensor total = at::zeros({k * (width + 1)}, at::kDouble);
    for (int64_t p = 0; p < all.size(0); ++p) total.add_(all[p]);
    total = total.view({k, width + 1});
    return total.narrow(1, 0, width) / total.narrow(1, width, 1);
  }

  at::Tensor squares_to_own(const at::Tensor& centroids_KF, const at::Tensor& clusters_N) const {
    std::vector<at::Tensor> rows;
    const auto [first, last] = own_parts();
    for (size_t p = first; p < last; ++p) {
      const at::Tensor part = points_.narrow(0, parts_[p].first, parts_[p].size);
      const at::Tensor own = clusters_N.narrow(0, parts_[p].first, parts_[p].size);
      rows.push_back((part - centroids_KF.index_select(0, own)).square().sum(1));
    }
    return gathered(rows, 1).view({-1});
  }

  /// Gives every empty cluster the point furthest from its centroid, of a cluster that keeps
  /// others.
  int64_t fill_empty(Nearest& nearest) const {
    at::Tensor counts = at::bincount(nearest.clusters, {}, options_.clusters);
    int64_t filled = 0;
    for (int64_t k = 0; k < options_.clusters; ++k) {
      if (counts[k].item<int64_t>() > 0) continue;
      const at::Tensor spare = counts.index_select(0, nearest.clusters) > 1;
      const int64_t point = at::where(spare, nearest.squares, at::full_like(nearest.squares, -1.0))
                                .argmax()
                                .item<int64_t>();
      counts[nearest.clusters[point].item<int64_t>()].sub_(1);
      counts[k].add_(1);
      nearest.clusters[point].fill_(k);
      nearest.squares[point].fill_(0.0);
      ++filled;
    }
    return filled;
  }

  /// k-means++: each next centroid is a point drawn by its squared distance to those there are.
  at::Tensor first_centroids(uint64_t start) const {
    if (options_.first_KF.defined()) return options_.first_KF.to(at::kDouble).contiguous();
    const int64_t n = points_.size(0);
    CounterRandom random(derive_seed(options_.seed, Stream::kClustering, {start}));
    std::vector<int64_t> chosen{static_cast<int64_t>(random.below(static_cast<uint64_t>(n)))};
    const auto squares_to = [&](int64_t point) {
      return (points_ - points_[point]).square().sum(1);
    };
    at::Tensor least = squares_to(chosen.back());
    while (static_cast<int64_t>(chosen.size()) < options_.clusters) {
      const double* cells = least.const_data_ptr<double>();
      double total = 0;
      for (int64_t i = 0; i < n; ++i) total += cells[i];
      double rest = random.uniform() * total;
      int64_t next = -1;
      for (int64_t i = 0; i < n && total > 0; ++i) {
        if (!(cells[i] > 0)) continue;
        next = i;
        rest -= cells[i];
        if (rest < 0) break;
      }
      if (next < 0) {  // all points lie on centroids: any other one
        const std::set<int64_t> taken(chosen.begin(), chosen.end());
        for (next = 0; taken.contains(next);) ++next;
      }
      chosen.push_back(next);
      least = at::minimum(least, squares_to(next)).contiguous();
    }
    return points_.index_select(0, at::tensor(chosen, at::kLong));
  }

  at::Tensor points_;
  KMeansOptions options_;
  const KMeansShare& share_;
  std::vector<Part> parts_;
};

void check(const at::Tensor& points_NF, const KMeansOptions& options) {
  if (options.clusters < 1 || options.iterations < 1 || options.starts < 1)
    throw Error(ErrorKind::kConfiguration,
                fmt::format("k-means with {} clusters, {} iterations and {} starts",
                            options.clusters, options.iterations, options.starts),
                "all must be at least 1");
  if (points_NF.size(0) < options.clusters)
    throw Error(ErrorKind::kConfiguration,
                fmt::format("{} images can't be divided into {} clusters", points_NF.size(0),
                            options.clusters),
                "take fewer learners");
  const at::Tensor& first = options.first_KF;
  if (first.defined() &&
      (first.dim() != 2 || first.size(0) != options.clusters || first.size(1) != points_NF.size(1)))
    throw Error(ErrorKind::kConfiguration,
                fmt::format("the first centroids of {} clusters of {} numbers have another shape",
                            options.clusters, points_NF.size(1)));
  const at::Tensor finite = at::isfinite(points_NF).all(1);
  if (finite.all().item<bool>()) return;
  throw Error(ErrorKind::kNumeric,
              fmt::format("point {} of those to be clustered is not finite",
                          at::argmin(finite.to(at::kInt)).item<int64_t>()),
              "the weights have diverged: lower the learning rate or add clip_norm");
}

}  // namespace

Clustering kmeans(const at::Tensor& points_NF, const KMeansOptions& options,
                  const KMeansShare& share) {
  const at::NoGradGuard no_grad;
  check(points_NF, options);
  Lloyd lloyd(points_NF, options, share);
  Clustering best;
  best.inertia = std::numeric_limits<double>::infinity();
  for (int64_t s = 0; s < options.starts; ++s) {
    Clustering result = lloyd.run(static_cast<uint64_t>(s));
    if (result.inertia < best.inertia) best = std::move(result);
  }
  return best;
}

}  // namespace baleen
