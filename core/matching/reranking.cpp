#include "core/matching/reranking.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "core/base/error.h"

namespace baleen {
namespace {

constexpr int64_t kRowsPerBlock = 256;

/// An image's description: the images it belongs with, ascending, and how strongly.
using Description = std::vector<std::pair<int64_t, float>>;

/// Squared distances from some of all N images to all of them, each row over its largest; an
/// image's distance to itself is below every other, so that it is its own first neighbour.
class Distances {
 public:
  explicit Distances(at::Tensor features_ND)
      : features_ND_(std::move(features_ND)), squares_N_(features_ND_.square().sum(1)) {}

  int64_t size() const { return features_ND_.size(0); }
  at::Tensor rows(int64_t first, int64_t count) const {
    const at::Tensor part_BD = features_ND_.narrow(0, first, count);
    at::Tensor distance_BN = squares_N_.narrow(0, first, count).unsqueeze(1) + squares_N_ -
                             2 * at::mm(part_BD, features_ND_.t());
    distance_BN.clamp_min_(0);
    const at::Tensor self_B1 = at::arange(first, first + count, at::kLong).unsqueeze(1);
    distance_BN.scatter_(1, self_B1, 0.0);
    const at::Tensor largest_B1 = distance_BN.amax({1}, /*keepdim=*/true);
    return distance_BN / at::where(largest_B1 > 0, largest_B1, at::ones_like(largest_B1));
  }

 private:
  at::Tensor features_ND_, squares_N_;
};

/// The nearest images of each, itself first, and their distances; ties in image order.
struct Neighbours {
  int64_t per_image = 0;
  std::vector<int64_t> images;
  const int64_t* of(int64_t image) const { return images.data() + image * per_image; }
};

Neighbours find_neighbours(const Distances& distances, int64_t count) {
  Neighbours all{std::min(count, distances.size()), {}};
  for (int64_t first = 0; first < distances.size(); first += kRowsPerBlock) {
    const int64_t rows = std::min(kRowsPerBlock, distances.size() - first);
    at::Tensor distance_BN = distances.rows(first, rows);
    distance_BN.scatter_(1, at::arange(first, first + rows, at::kLong).unsqueeze(1), -1.0);
    const at::Tensor nearest = at::argsort(distance_BN, /*stable=*/true, 1, false)
                                   .narrow(1, 0, all.per_image)
                                   .contiguous();
    const int64_t* images = nearest.const_data_ptr<int64_t>();
    all.images.insert(all.images.end(), images, images + nearest.numel());
  }
  return all;
}

/// Neighbours among the first `count` of which `image` is one, too. Ascending.
std::vector<int64_t> reciprocal(const Neighbours& neighbours, int64_t image, int64_t count) {
  count = std::min(count, neighbours.per_image);
  std::vector<int64_t> found;
  const int64_t* own = neighbours.of(image);
  for (int64_t n = 0; n < count; ++n) {
    const int64_t* back = neighbours.of(own[n]);
    if (std::find(back, back + count, image) != back + count) found.push_back(own[n]);
  }
  std::sort(found.begin(), found.end());
  return found;
}

/// The reciprocal neighbours, and those of each of them that are mostly among them already.
std::vector<int64_t> expanded(const Neighbours& neighbours, int64_t image, int64_t k1) {
  // Half to even, as numpy rounds.
  const auto half = static_cast<int64_t>(std::nearbyint(static_cast<double>(k1) / 2.0));
  const std::vector<int64_t> core = reciprocal(neighbours, image, k1 + 1);
  std::vector<int64_t> all = core;
  for (const int64_t candidate : core) {
    const std::vector<int64_t> its = reciprocal(neighbours, candidate, half + 1);
    std::vector<int64_t> common;
    std::set_intersection(core.begin(), core.end(), its.begin(), its.end(),
                          std::back_inserter(common));
    if (3 * common.size() > 2 * its.size()) all.insert(all.end(), its.begin(), its.end());
  }
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

std::vector<Description> describe(const Distances& distances, const Neighbours& neighbours,
                                  int64_t k1) {
  std::vector<Description> descriptions(static_cast<size_t>(distances.size()));
  for (int64_t first = 0; first < distances.size(); first += kRowsPerBlock) {
    const int64_t rows = std::min(kRowsPerBlock, distances.size() - first);
    const at::Tensor distance_BN = distances.rows(first, rows).contiguous();
    for (int64_t row = 0; row < rows; ++row) {
      const float* distance = distance_BN.const_data_ptr<float>() + row * distances.size();
      Description& description = descriptions[first + row];
      double sum = 0.0;
      for (const int64_t other : expanded(neighbours, first + row, k1)) {
        description.emplace_back(other, std::exp(-distance[other]));
        sum += description.back().second;
      }
      for (auto& [image, weight] : description)
        weight = static_cast<float>(static_cast<double>(weight) / sum);
    }
  }
  return descriptions;
}

/// Means over each image's nearest k2, itself among them.
std::vector<Description> smoothed(const std::vector<Description>& descriptions,
                                  const Neighbours& neighbours, int64_t k2) {
  const int64_t count = std::min(k2, neighbours.per_image);
  std::vector<Description> all(descriptions.size());
  for (size_t i = 0; i < all.size(); ++i) {
    Description joined;
    const int64_t* nearest = neighbours.of(static_cast<int64_t>(i));
    for (int64_t n = 0; n < count; ++n)
      joined.insert(joined.end(), descriptions[nearest[n]].begin(), descriptions[nearest[n]].end());
    std::stable_sort(joined.begin(), joined.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    for (const auto& [image, weight] : joined) {
      const float part = weight / static_cast<float>(count);
      if (!all[i].empty() && all[i].back().first == image) {
        all[i].back().second += part;
      } else {
        all[i].emplace_back(image, part);
      }
    }
  }
  return all;
}

}  // namespace

at::Tensor reranked_distances(const at::Tensor& queries_QD, const at::Tensor& gallery_GD,
                              const RerankOptions& options) {
  if (options.neighbours < 1 || options.expansion < 1 || options.distance_weight < 0 ||
      options.distance_weight > 1) {
    throw Error(ErrorKind::kConfiguration,
                fmt::format("re-ranking with {} neighbours, {} of them averaged, and weight {}",
                            options.neighbours, options.expansion, options.distance_weight),
                "both counts are at least 1, the weight lies between 0 and 1");
  }
  const at::NoGradGuard no_grad;
  const int64_t num_queries = queries_QD.size(0), num_gallery = gallery_GD.size(0);
  const Distances distances(at::cat({queries_QD, gallery_GD}).to(at::kFloat));
  const Neighbours neighbours =
      find_neighbours(distances, std::max(options.neighbours + 1, options.expansion));
  std::vector<Description> descriptions = describe(distances, neighbours, options.neighbours);
  if (options.expansion > 1) descriptions = smoothed(descriptions, neighbours, options.expansion);

  // For every image, the gallery images whose descriptions it is part of.
  std::vector<Description> parts_of(static_cast<size_t>(distances.size()));
  for (int64_t g = 0; g < num_gallery; ++g)
    for (const auto& [image, weight] : descriptions[num_queries + g])
      parts_of[image].emplace_back(g, weight);

  const auto lambda = static_cast<float>(options.distance_weight);
  at::Tensor result_QG = at::empty({num_queries, num_gallery}, at::kFloat);
  std::vector<float> common(static_cast<size_t>(num_gallery));
  for (int64_t first = 0; first < num_queries; first += kRowsPerBlock) {
    const int64_t rows = std::min(kRowsPerBlock, num_queries - first);
    const at::Tensor distance_BG =
        distances.rows(first, rows).narrow(1, num_queries, num_gallery).contiguous();
    for (int64_t row = 0; row < rows; ++row) {
      std::fill(common.begin(), common.end(), 0.0f);
      for (const auto& [image, weight] : descriptions[first + row])
        for (const auto& [g, theirs] : parts_of[image]) common[g] += std::min(weight, theirs);
      const float* distance = distance_BG.const_data_ptr<float>() + row * num_gallery;
      float* out = result_QG.mutable_data_ptr<float>() + (first + row) * num_gallery;
      for (int64_t g = 0; g < num_gallery; ++g)
        out[g] = (1 - lambda) * (1 - common[g] / (2 - common[g])) + lambda * distance[g];
    }
  }
  return result_QG;
}

}  // namespace baleen
