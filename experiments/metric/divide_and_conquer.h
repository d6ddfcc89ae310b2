#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/clustering/kmeans.h"
#include "core/losses/metric/objective.h"
#include "data/sampler.h"
#include "experiments/metric/metric_section.h"

namespace baleen {

/// What the learners do in an epoch.
enum class LearningPhase {
  kSlices,  ///< each learner's batches train its slice of the embedding
  kFull,    ///< each learner's batches train the whole embedding
  kJoint,   ///< batches of all images train the whole embedding
};

/// Ids of the learner that gets the fewest of a batch of `num_ids` ids, with all learners in use.
/// Two are needed: without a negative a loss over triplets is 0.
/// @param num_ids for learner_parallel a multiple of the shards
int64_t least_ids_of_a_learner(const DivideSection& divide, int64_t num_ids,
                               int64_t logical_shards);

/// Which images each batch has, and which part of the embedding it trains.
///
/// Without division there is one learner of all images, always joint: one learner is plain metric
/// learning, with the same bits. Letters: N training images, K learners. Everything is a pure
/// function of (clusters, seed, epoch, step).
class DivideAndConquer {
 public:
  struct Setup {
    DivideSection options;
    int64_t images_per_id = 4;
    int64_t prototype_images = 0;  ///< see MetricSection
    int64_t dimension = 128;
    int64_t num_epochs = 1;  ///< of the whole chain
    int64_t logical_shards = 1;
  };
  /// @param rows       N dataset rows
  /// @param identities N, dense
  /// @throws Error kData when no two ids have two images each, or one more than make a prototype;
  /// kConfiguration for epochs out of order or a slice that would be empty.
  DivideAndConquer(const Setup& setup, std::vector<int64_t> rows, std::vector<int64_t> identities);

  LearningPhase phase(int64_t chain_epoch) const;
  /// Whether there are to be new clusters before this epoch.
  bool clusters_at(int64_t chain_epoch) const;

  /// What clustering did, for the log.
  struct Report {
    double inertia = 0;
    int64_t iterations = 0;
    int64_t reseeded = 0;
    double used = 0;  ///< share of images that some learner sees
    std::vector<int64_t> sizes;
    bool relabelled = false;
    int64_t cost_before = 0, cost_after = 0;  ///< see Relabelling
    double kept = 0;
    double mutual_information = 0;  ///< normalised, of the clusters before and now (§8.3)
  };
  /// [collective where the share is] Clusters the images by their features.
  /// @throws Error kNumeric naming the row of features that are not finite.
  Report cluster(const at::Tensor& features_NF, int64_t chain_epoch, uint64_t seed,
                 const KMeansShare& share);

  /// The rows of an epoch: `steps` batches of `batch`, one after the other.
  std::vector<int64_t> order(int64_t chain_epoch, int64_t steps, int64_t batch,
                             uint64_t seed) const;
  /// The columns that a step trains alone, where only the phase and `step` leave others out.
  std::optional<ColumnRange> only_columns(int64_t chain_epoch, int64_t step) const;
  /// The blocks of one batch.
  std::vector<BatchBlock> focus(int64_t chain_epoch, int64_t step, int64_t batch) const;

  /// Clusters, int64 [N]; empty before the first clustering.
  const std::vector<int64_t>& clusters() const { return clusters_; }
  void set_clusters(std::vector<int64_t> clusters);
  int64_t num_images() const { return static_cast<int64_t>(rows_.size()); }

 private:
  bool divided(int64_t chain_epoch) const;
  PositionRange groups_of(int64_t i, int64_t num_groups) const;
  int64_t turn(int64_t chain_epoch, int64_t step) const;
  int64_t num_turns(int64_t i, int64_t chain_epoch, int64_t steps) const;
  std::vector<int64_t> by_identity(const at::Tensor& features_NF, const KMeansOptions& options,
                                   const KMeansShare& share, Clustering& result) const;
  at::Tensor identity_means(const at::Tensor& features_NF) const;
  int64_t least_images() const { return std::max<int64_t>(2, setup_.prototype_images + 1); }
  void drop_the_lonely();
  void find_active();
  ColumnRange columns_of(int64_t learner, int64_t chain_epoch) const;

  Setup setup_;
  int64_t full_from_ = 0;
  int64_t joint_from_ = 0;
  std::vector<int64_t> rows_;
  std::vector<int64_t> identities_;
  int64_t num_identities_ = 0;
  std::vector<int64_t> clusters_;  ///< -1: not used until the next clustering
  std::vector<int64_t> active_;    ///< learners with two ids or more that can be used
};

}  // namespace baleen
