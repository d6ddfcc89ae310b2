#include "experiments/metric/divide_and_conquer.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "core/base/error.h"
#include "core/clustering/relabel.h"
#include "core/losses/metric/slices.h"
#include "core/metrics/retrieval.h"
#include "data/class_sampler.h"
#include "data/sampler.h"

namespace baleen {
namespace {

constexpr int64_t kLeastIds = 2;  ///< to tell apart

/// Of the images that were in a cluster before: those that rested would count as one more.
double agreement(const std::vector<int64_t>& now, const std::vector<int64_t>& before) {
  std::vector<int64_t> a, b;
  for (size_t i = 0; i < before.size(); ++i) {
    if (before[i] < 0) continue;
    a.push_back(now[i]);
    b.push_back(before[i]);
  }
  return normalized_mutual_information(a, b);
}

/// Before k-means, whose points may be means of ids.
void check_finite(const at::Tensor& features_NF, const std::vector<int64_t>& rows,
                  const std::vector<int64_t>& identities) {
  const at::Tensor finite = at::isfinite(features_NF).all(1);
  if (finite.all().item<bool>()) return;
  const auto first = static_cast<size_t>(at::argmin(finite.to(at::kInt)).item<int64_t>());
  throw Error(ErrorKind::kNumeric,
              fmt::format("the features of the image in row {} of the dataset, training id {}, are "
                          "not finite",
                          rows[first], identities[first]),
              "the weights have diverged: lower the learning rate or add clip_norm");
}

}  // namespace

int64_t least_ids_of_a_learner(const DivideSection& divide, int64_t num_ids,
                               int64_t logical_shards) {
  const int64_t learners = divide.learners;
  if (learners < 2 || divide.step == "per_learner") return num_ids;
  if (divide.step != "learner_parallel") return num_ids / learners;
  const int64_t of_shard = num_ids / logical_shards;
  if (learners <= logical_shards) return logical_shards / learners * of_shard;
  return of_shard / ((learners + logical_shards - 1) / logical_shards);
}

DivideAndConquer::DivideAndConquer(const Setup& setup, std::vector<int64_t> rows,
                                   std::vector<int64_t> identities)
    : setup_(setup), rows_(std::move(rows)), identities_(std::move(identities)) {
  for (const int64_t identity : identities_)
    num_identities_ = std::max(num_identities_, identity + 1);
  const ClassSampler all(rows_, identities_,
                         {.per_class = setup_.images_per_id, .supports = setup_.prototype_images});
  if (all.num_classes() < kLeastIds) {
    const std::string enough = least_images() == 2 ? "two" : std::to_string(least_images());
    throw Error(
        ErrorKind::kData,
        all.num_classes() == 0
            ? fmt::format("none of the {} ids in {} training images has {} images", num_identities_,
                          rows_.size(), enough)
            : fmt::format("of the {} ids in {} training images only one has {} images, so that "
                          "there is nothing to tell apart",
                          num_identities_, rows_.size(), enough),
        fmt::format("metric learning needs two ids with {} images each in every fold's training "
                    "images",
                    enough));
  }
  const DivideSection& options = setup_.options;
  joint_from_ = options.joint_from.value_or(setup_.num_epochs * 19 / 20);
  full_from_ = options.full_from.value_or(joint_from_ * 8 / 19);
  if (options.learners == 0) return;
  if (full_from_ > joint_from_)
    throw Error(
        ErrorKind::kConfiguration,
        fmt::format("metric.divide: full_from {} is after joint_from {}", full_from_, joint_from_),
        "slices come first, then the whole embedding on clusters, then all together");
  (void)slice_of(setup_.dimension, options.learners - 1, options.learners);
}

LearningPhase DivideAndConquer::phase(int64_t chain_epoch) const {
  if (setup_.options.learners == 0 || chain_epoch >= joint_from_) return LearningPhase::kJoint;
  return chain_epoch < full_from_ ? LearningPhase::kSlices : LearningPhase::kFull;
}

bool DivideAndConquer::clusters_at(int64_t chain_epoch) const {
  if (phase(chain_epoch) == LearningPhase::kJoint) return false;
  return clusters_.empty() || chain_epoch % setup_.options.every_epochs == 0;
}

/// Whether batches are those of learners.
bool DivideAndConquer::divided(int64_t chain_epoch) const {
  return phase(chain_epoch) != LearningPhase::kJoint && !active_.empty();
}

/// The groups of images of one id that the i-th active learner gets in a batch of `num_groups`.
///
/// learner_parallel: V shards of equal parts. n <= V learners have the shards of even_part(V, i,
/// n); otherwise a shard divides its part among its learners, even_part(n, s, V).
PositionRange DivideAndConquer::groups_of(int64_t i, int64_t num_groups) const {
  const auto n = static_cast<int64_t>(active_.size());
  const int64_t shards = setup_.logical_shards;
  if (setup_.options.step != "learner_parallel") return even_part(num_groups, i, n);
  if (n <= shards) {
    const PositionRange own = even_part(shards, i, n);
    return {even_part(num_groups, own.begin, shards).begin,
            even_part(num_groups, own.end - 1, shards).end};
  }
  int64_t shard = 0;
  while (even_part(n, shard, shards).end <= i) ++shard;
  const PositionRange learners = even_part(n, shard, shards);
  const PositionRange whole = even_part(num_groups, shard, shards);
  const PositionRange part = even_part(whole.size(), i - learners.begin, learners.size());
  return {whole.begin + part.begin, whole.begin + part.end};
}

/// Whose batch a step's is, by place among the active ones. Another begins in each epoch, so that
/// all of them learn where an epoch has fewer steps than there are learners.
int64_t DivideAndConquer::turn(int64_t chain_epoch, int64_t step) const {
  return (chain_epoch + step) % static_cast<int64_t>(active_.size());
}

/// Steps of an epoch that are the i-th active learner's.
int64_t DivideAndConquer::num_turns(int64_t i, int64_t chain_epoch, int64_t steps) const {
  const auto n = static_cast<int64_t>(active_.size());
  const int64_t first = ((i - chain_epoch) % n + n) % n;
  return first < steps ? (steps - first + n - 1) / n : 0;
}

at::Tensor DivideAndConquer::identity_means(const at::Tensor& features_NF) const {
  const at::Tensor own = at::tensor(identities_, at::kLong);
  const at::Tensor features = features_NF.to(at::kDouble);
  at::Tensor sums = at::zeros({num_identities_, features.size(1)}, at::kDouble);
  sums.index_add_(0, own, features);
  return sums / at::bincount(own, {}, num_identities_).unsqueeze(1);
}

std::vector<int64_t> DivideAndConquer::by_identity(const at::Tensor& features_NF,
                                                   const KMeansOptions& options,
                                                   const KMeansShare& share,
                                                   Clustering& result) const {
  result = kmeans(identity_means(features_NF), options, share);
  std::vector<int64_t> clusters;
  for (const int64_t identity : identities_)
    clusters.push_back(result.clusters[static_cast<size_t>(identity)]);
  return clusters;
}

DivideAndConquer::Report DivideAndConquer::cluster(const at::Tensor& features_NF,
                                                   int64_t chain_epoch, uint64_t seed,
                                                   const KMeansShare& share) {
  const DivideSection& options = setup_.options;
  check_finite(features_NF, rows_, identities_);
  KMeansOptions how;
  how.clusters = options.learners;
  how.iterations = options.iterations;
  how.starts = options.starts;
  how.seed = derive_seed(seed, Stream::kClustering, {static_cast<uint64_t>(chain_epoch)});
  Clustering found;
  std::vector<int64_t> fresh;
  if (options.cluster == "ids") {
    fresh = by_identity(features_NF, how, share, found);
  } else {
    found = kmeans(features_NF, how, share);
    fresh = found.clusters;
  }
  Report report;
  report.inertia = found.inertia;
  report.iterations = found.iterations;
  report.reseeded = found.reseeded;
  if (!clusters_.empty()) {
    const Relabelling labels = relabelled(fresh, clusters_, options.learners);
    report.relabelled = true;
    report.cost_before = labels.cost_before;
    report.cost_after = labels.cost_after;
    report.kept = labels.kept;
    report.mutual_information = agreement(labels.clusters, clusters_);
    fresh = labels.clusters;
  }
  clusters_ = std::move(fresh);
  drop_the_lonely();
  find_active();
  report.sizes.assign(static_cast<size_t>(options.learners), 0);
  int64_t used = 0;
  for (const int64_t cluster : clusters_) {
    if (cluster < 0) continue;
    ++report.sizes[static_cast<size_t>(cluster)];
    ++used;
  }
  report.used = static_cast<double>(used) / static_cast<double>(rows_.size());
  return report;
}

/// Images that are alone of their id in their cluster, or too few for a prototype and a query,
/// teach nothing until the next clustering.
void DivideAndConquer::drop_the_lonely() {
  std::map<std::pair<int64_t, int64_t>, int64_t> counts;
  for (size_t i = 0; i < clusters_.size(); ++i) ++counts[{clusters_[i], identities_[i]}];
  for (size_t i = 0; i < clusters_.size(); ++i)
    if (counts[{clusters_[i], identities_[i]}] < least_images()) clusters_[i] = -1;
}

void DivideAndConquer::find_active() {
  std::vector<std::map<int64_t, int64_t>> ids(static_cast<size_t>(setup_.options.learners));
  for (size_t i = 0; i < clusters_.size(); ++i)
    if (clusters_[i] >= 0) ++ids[static_cast<size_t>(clusters_[i])][identities_[i]];
  active_.clear();
  for (size_t k = 0; k < ids.size(); ++k)
    if (static_cast<int64_t>(ids[k].size()) >= kLeastIds)
      active_.push_back(static_cast<int64_t>(k));
}

void DivideAndConquer::set_clusters(std::vector<int64_t> clusters) {
  const bool fits = (clusters.empty() || clusters.size() == rows_.size()) &&
                    std::all_of(clusters.begin(), clusters.end(),
                                [&](int64_t k) { return k >= -1 && k < setup_.options.learners; });
  if (!fits)
    throw Error(ErrorKind::kData, "the checkpoint's clusters are not those of this chain",
                "it was written for other training images or another number of learners");
  clusters_ = std::move(clusters);
  find_active();
}

std::vector<int64_t> DivideAndConquer::order(int64_t chain_epoch, int64_t steps, int64_t batch,
                                             uint64_t seed) const {
  const int64_t m = setup_.images_per_id;
  if (!divided(chain_epoch))
    return ClassSampler(
               rows_, identities_,
               {.per_class = m, .seed = seed, .stream = 0, .supports = setup_.prototype_images})
        .batches(chain_epoch, steps, batch);
  // What each active learner deals in the whole epoch, and where it stands.
  struct Hand {
    std::vector<int64_t> rows;
    size_t next = 0;
  };
  const auto n = static_cast<int64_t>(active_.size());
  const bool in_turn = setup_.options.step == "per_learner";
  std::vector<Hand> hands;
  for (int64_t i = 0; i < n; ++i) {
    std::vector<int64_t> rows, identities;
    for (size_t j = 0; j < clusters_.size(); ++j) {
      if (clusters_[j] != active_[static_cast<size_t>(i)]) continue;
      rows.push_back(rows_[j]);
      identities.push_back(identities_[j]);
    }
    const ClassSampler sampler(rows, identities,
                               {.per_class = m,
                                .seed = seed,
                                .stream = active_[static_cast<size_t>(i)],
                                .supports = setup_.prototype_images});
    hands.push_back(
        {in_turn ? sampler.batches(chain_epoch, num_turns(i, chain_epoch, steps), batch)
                 : sampler.batches(chain_epoch, steps, groups_of(i, batch / m).size() * m)});
  }
  std::vector<int64_t> all;
  all.reserve(static_cast<size_t>(steps * batch));
  const auto deal = [&](int64_t i, int64_t count) {
    Hand& hand = hands[static_cast<size_t>(i)];
    for (int64_t j = 0; j < count; ++j) all.push_back(hand.rows[hand.next++]);
  };
  for (int64_t step = 0; step < steps; ++step) {
    if (in_turn) {
      deal(turn(chain_epoch, step), batch);
    } else {
      for (int64_t i = 0; i < n; ++i) deal(i, groups_of(i, batch / m).size() * m);
    }
  }
  return all;
}

ColumnRange DivideAndConquer::columns_of(int64_t learner, int64_t chain_epoch) const {
  if (phase(chain_epoch) != LearningPhase::kSlices) return {0, setup_.dimension};
  return slice_of(setup_.dimension, learner, setup_.options.learners);
}

std::optional<ColumnRange> DivideAndConquer::only_columns(int64_t chain_epoch, int64_t step) const {
  if (!divided(chain_epoch) || setup_.options.step != "per_learner" ||
      phase(chain_epoch) != LearningPhase::kSlices)
    return std::nullopt;
  return columns_of(active_[static_cast<size_t>(turn(chain_epoch, step))], chain_epoch);
}

std::vector<BatchBlock> DivideAndConquer::focus(int64_t chain_epoch, int64_t step,
                                                int64_t batch) const {
  if (!divided(chain_epoch)) return {{0, batch, {0, setup_.dimension}}};
  const auto n = static_cast<int64_t>(active_.size());
  if (setup_.options.step == "per_learner") {
    const int64_t learner = active_[static_cast<size_t>(turn(chain_epoch, step))];
    return {{0, batch, columns_of(learner, chain_epoch)}};
  }
  const int64_t m = setup_.images_per_id;
  std::vector<BatchBlock> blocks;
  for (int64_t i = 0; i < n; ++i) {
    const PositionRange groups = groups_of(i, batch / m);
    blocks.push_back({groups.begin * m, groups.end * m,
                      columns_of(active_[static_cast<size_t>(i)], chain_epoch)});
  }
  return blocks;
}

}  // namespace baleen
