#include "experiments/gallery/match_scores.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <set>
#include <unordered_map>

#include "core/base/error.h"
#include "data/identity_splits.h"
#include "data/name_list.h"
#include "experiments/gallery/pair_matching.h"

namespace baleen {
namespace {

constexpr double kUnknownShare = 0.2;
constexpr double kQueryShare = 0.3;
// The last bits of an image's features depend on the other images of the forward pass.
constexpr double kSameImage = 1e-3;

/// A model's distances of queries and individuals, [Q, C]; infinite for one without images.
at::Tensor distances_of(const Sides& sides, const GalleryIdentities& identities,
                        const MatchOptions& options, const std::vector<int64_t>& own_Q) {
  if (sides.head) {
    if (options.rerank)
      throw Error(ErrorKind::kUsage, "re-ranking compares angles, a siamese network does not",
                  "leave --rerank out, or match with networks of embeddings");
    return identity_distances_by_pairs(*sides.head, sides.raw_queries_QD, sides.raw_gallery_GD,
                                       identities, options.score, own_Q);
  }
  if (options.rerank) {
    at::Tensor images_QG = -reranked_distances(sides.queries_QD, sides.gallery_GD, *options.rerank);
    for (int64_t q = 0; q < std::ssize(own_Q); ++q)
      if (own_Q[q] >= 0) images_QG[q][own_Q[q]] = -std::numeric_limits<float>::infinity();
    return -identity_scores_of_images(images_QG, identities, options.score);
  }
  const at::Tensor scores_QC =
      identity_scores(sides.queries_QD, sides.gallery_GD, identities, options.score, own_Q);
  // Unit vectors: d² = 2 - 2s.
  return (2.0 - 2.0 * scores_QC.to(at::kDouble)).clamp_min(0.0).sqrt();
}

/// min(count, most) of the numbers below `count`, as even as can be: files are often sorted.
at::Tensor spread(int64_t count, int64_t most) {
  const int64_t taken = std::min(count, most);
  std::vector<int64_t> chosen;
  for (int64_t i = 0; i < taken; ++i) chosen.push_back(i * count / taken);
  return at::tensor(chosen, at::kLong);
}

}  // namespace

std::vector<Sides> sides_of(const std::vector<MatchModel>& models) {
  std::vector<Sides> sides;
  for (const MatchModel& model : models) {
    const FeatureTable gallery = model.gallery.select(models.front().gallery.ids);
    const FeatureTable queries = model.queries.select(models.front().queries.ids);
    if (gallery.features_ND.size(1) != queries.features_ND.size(1)) {
      throw Error(
          ErrorKind::kData,
          fmt::format("features of {} have {} numbers, those of {} {}", gallery.source,
                      gallery.features_ND.size(1), queries.source, queries.features_ND.size(1)),
          "both sides must come from the same network");
    }
    sides.push_back({unit_rows(gallery.features_ND), unit_rows(queries.features_ND), model.head,
                     gallery.features_ND, queries.features_ND});
    if (models.front().strangers.ids.empty()) continue;
    const FeatureTable strangers = model.strangers.select(models.front().strangers.ids);
    sides.back().strangers_SD = unit_rows(strangers.features_ND);
    sides.back().raw_strangers_SD = strangers.features_ND;
  }
  return sides;
}

std::vector<int64_t> own_rows(const FeatureTable& queries, const FeatureTable& gallery) {
  std::unordered_map<std::string, int64_t> row_of;
  for (int64_t row = 0; row < gallery.size(); ++row) row_of.emplace(gallery.ids[row], row);
  std::vector<int64_t> own(queries.ids.size(), -1);
  for (int64_t q = 0; q < queries.size(); ++q) {
    const auto found = row_of.find(queries.ids[q]);
    if (found == row_of.end()) continue;
    const at::Tensor query = queries.features_ND[q], image = gallery.features_ND[found->second];
    const double apart = (query - image).norm().item<double>();
    if (apart <= kSameImage * image.norm().item<double>()) own[q] = found->second;
  }
  return own;
}

Gallery gallery_of(const std::vector<std::string>& ids, const MatchNames& known) {
  std::vector<std::string> missing;
  std::set<std::string> names;
  for (const std::string& id : ids) {
    const auto found = known.gallery.find(id);
    if (found == known.gallery.end()) {
      missing.push_back(id);
    } else {
      names.insert(found->second);
    }
  }
  if (!missing.empty()) {
    throw Error(ErrorKind::kData,
                fmt::format("nobody is named for the gallery images {}", name_list(missing)),
                "name the individual of every gallery image with --identities");
  }
  Gallery gallery{{names.begin(), names.end()}, {}};
  gallery.identities.count = std::ssize(gallery.names);
  for (const std::string& id : ids) {
    const auto place =
        std::lower_bound(gallery.names.begin(), gallery.names.end(), known.gallery.at(id));
    gallery.identities.identity_G.push_back(place - gallery.names.begin());
  }
  return gallery;
}

std::vector<at::Tensor> all_distances(const std::vector<Sides>& models,
                                      const GalleryIdentities& identities,
                                      const MatchOptions& options,
                                      const std::vector<int64_t>& own_Q) {
  std::vector<at::Tensor> distances, gallery, queries;
  for (const Sides& model : models) {
    distances.push_back(distances_of(model, identities, options, own_Q));
    gallery.push_back(model.gallery_GD);
    queries.push_back(model.queries_QD);
  }
  if (!options.classifier) return distances;
  if (std::any_of(own_Q.begin(), own_Q.end(), [](int64_t row) { return row >= 0; })) {
    throw Error(ErrorKind::kUsage, "a classifier that was trained on the queries would know them",
                "leave it out where queries are gallery images");
  }
  const at::Tensor p_QC =
      classify_features(at::cat(gallery, 1), identities.identity_G, identities.count,
                        at::cat(queries, 1), *options.classifier);
  distances.push_back(
      at::where(p_QC > 0, 1 - p_QC, at::full_like(p_QC, std::numeric_limits<double>::infinity())));
  return distances;
}

std::optional<Validation> validate(const std::vector<Sides>& models, const Gallery& gallery,
                                   const MatchOptions& options) {
  const std::vector<int64_t>& identity_G = gallery.identities.identity_G;
  if (gallery.identities.count < 2) {
    throw Error(ErrorKind::kData, "one individual is no gallery to choose a threshold on",
                "give the threshold, or more individuals");
  }
  const bool open = !options.unknown.empty();
  const at::Tensor& strangers_SD = models.front().strangers_SD;
  const int64_t num_strangers = open && strangers_SD.defined() ? strangers_SD.size(0) : 0;
  GallerySplit split = closed_set_split(identity_G, kQueryShare, options.seed);
  const auto num_asking = static_cast<double>(num_strangers + std::ssize(split.queries));
  if (num_strangers == 0 || static_cast<double>(num_strangers) < kUnknownShare * num_asking)
    split = open_set_split(identity_G, kUnknownShare, kQueryShare, options.seed);
  if (split.gallery.empty())
    throw Error(ErrorKind::kData, "the gallery is too small to choose a threshold on");
  Validation validation;
  validation.gallery_rows = split.gallery;
  GalleryIdentities& kept = validation.identities;
  kept.count = gallery.identities.count;
  for (const int64_t row : split.gallery) kept.identity_G.push_back(identity_G[row]);
  const std::set<int64_t> left(kept.identity_G.begin(), kept.identity_G.end());
  int64_t num_known = 0;
  for (const int64_t row : split.queries) {
    const bool stranger = !left.contains(identity_G[row]);
    // Where nobody is unknown, strangers have no right answer.
    if (stranger && !open) continue;
    num_known += !stranger;
    validation.query_rows.push_back(row);
    validation.truth.push_back(stranger ? std::string() : gallery.names[identity_G[row]]);
  }
  if (num_known == 0) return std::nullopt;
  const at::Tensor gallery_rows = at::tensor(split.gallery, at::kLong);
  const at::Tensor query_rows = at::tensor(validation.query_rows, at::kLong);
  const at::Tensor asking = spread(num_strangers, num_known);
  const int64_t first_stranger = std::ssize(identity_G) + models.front().queries_QD.size(0);
  for (int64_t i = 0; i < asking.numel(); ++i) {
    validation.query_rows.push_back(first_stranger + asking[i].item<int64_t>());
    validation.truth.emplace_back();
  }
  const auto queries_of = [&](const at::Tensor& gallery_GD, const at::Tensor& strangers) {
    const at::Tensor known = gallery_GD.index_select(0, query_rows);
    return asking.numel() == 0 ? known : at::cat({known, strangers.index_select(0, asking)});
  };
  std::vector<Sides> parts;
  for (const Sides& sides : models) {
    parts.push_back({sides.gallery_GD.index_select(0, gallery_rows),
                     queries_of(sides.gallery_GD, sides.strangers_SD),
                     sides.head,
                     {},
                     {}});
    if (!sides.head) continue;
    parts.back().raw_gallery_GD = sides.raw_gallery_GD.index_select(0, gallery_rows);
    parts.back().raw_queries_QD = queries_of(sides.raw_gallery_GD, sides.raw_strangers_SD);
  }
  validation.distances_MQC = all_distances(parts, kept, options, {});
  return validation;
}

std::vector<at::Tensor> mapped(const std::vector<at::Tensor>& distances,
                               const DistanceMapOptions& options) {
  std::vector<at::Tensor> scores;
  for (const at::Tensor& model : distances) scores.push_back(map_distances(model, options));
  return scores;
}

std::vector<at::Tensor> with_ensemble(std::vector<at::Tensor> scores_MQC,
                                      const std::vector<double>& weights) {
  if (std::ranges::count_if(weights, [](double weight) { return weight > 0; }) > 1)
    scores_MQC.push_back(fused(scores_MQC, weights));
  return scores_MQC;
}

at::Tensor fused(const std::vector<at::Tensor>& scores, const std::vector<double>& weights,
                 const at::Tensor& shift_QC) {
  // A weight of 0 times minus infinity is no number, so models that don't count stay out.
  at::Tensor sum;
  for (size_t m = 0; m < scores.size(); ++m) {
    if (weights[m] == 0) continue;
    sum = sum.defined() ? sum + scores[m] * weights[m] : scores[m] * weights[m];
  }
  return shift_QC.defined() ? sum + shift_QC : sum;
}

}  // namespace baleen
