#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/config/field.h"
#include "core/losses/metric/options.h"

namespace baleen {

/// Divide and conquer (Sanakoyeu et al. 2019).
struct DivideSection {
  int64_t learners = 0;
  int64_t every_epochs = 2;
  std::optional<int64_t> full_from;
  std::optional<int64_t> joint_from;
  std::string step = "per_learner";
  bool mask_update = false;
  std::string cluster = "images";
  int64_t iterations = 100;
  int64_t starts = 1;
};

/// What a run with task.kind: metric learns, and of which images at a time.
struct MetricSection {
  int64_t embedding = 128;
  bool normalise = true;
  std::vector<EmbeddingLossOptions> losses;  ///< empty: one margin loss
  double loss_lr_multiplier = 1.0;
  int64_t images_per_id = 4;
  int64_t memory = 0;
  int64_t memory_from = 0;
  std::string split = "closed";
  double open_share = 0.5;
  DivideSection divide;

  std::vector<EmbeddingLossOptions> losses_or_default() const {
    return losses.empty() ? std::vector<EmbeddingLossOptions>(1) : losses;
  }
  /// Images of each id that make prototypes: the most of all losses; 0: none does.
  int64_t prototype_images() const {
    double most = 0;
    for (const EmbeddingLossOptions& loss : losses) {
      if (loss.kind != "proto") continue;
      const auto shots = loss.parameters.find("shots");
      most = std::max(most, shots == loss.parameters.end() ? 1.0 : shots->second);
    }
    return static_cast<int64_t>(most);
  }
  /// K, slices of the embedding that weigh the same.
  int64_t num_slices() const { return divide.learners > 0 ? divide.learners : 1; }
};

template <class Visitor>
void visit_fields(Visitor& v, DivideSection& o) {
  v.field("learners", o.learners,
          "K: the images are clustered into K parts, each of which trains its own slice of the "
          "embedding; 0: no division",
          config::between(0, 1024));
  v.field("every_epochs", o.every_epochs,
          "cluster anew after so many epochs, by features of all training images; clusters keep "
          "the learner that knows most of their images",
          config::at_least(1));
  v.field("full_from", o.full_from,
          "from this epoch of the chain on, batches are still of one cluster, but train the whole "
          "embedding; absent: 8/19 of joint_from",
          config::at_least(0));
  v.field("joint_from", o.joint_from,
          "from this epoch of the chain on there are no clusters; absent: after 95 % of the epochs",
          config::at_least(0));
  v.field("step", o.step,
          "per_learner: each optimizer step is one learner's batch, in turn; accumulate: each "
          "batch has an equal part of every learner's, whose losses are averaged; "
          "learner_parallel: the same, but each logical shard, and so each rank, has images of as "
          "few learners as can be: of one where there are as many shards as learners or more",
          config::one_of({"per_learner", "accumulate", "learner_parallel"}));
  v.field("mask_update", o.mask_update,
          "per_learner, in the phase of slices: a step leaves the other learners' slices of the "
          "embedding layer, and what the optimizer remembers of them, as they were; false, as "
          "published: momentum and weight decay go on moving them");
  v.field("cluster", o.cluster,
          "images: each by itself, and those alone of their id in a cluster are left out until the "
          "next clustering; ids: by the mean of their images, so that no id is split",
          config::one_of({"images", "ids"}));
  v.field("iterations", o.iterations, "of k-means, at most", config::at_least(1));
  v.field("starts", o.starts, "of k-means, of which the best is kept", config::between(1, 100));
}

template <class Visitor>
void visit_fields(Visitor& v, MetricSection& o) {
  v.field("embedding", o.embedding, "numbers that describe an image: the network's outputs",
          config::between(2, 65536));
  v.field("normalise", o.normalise, "losses compare embeddings of unit length");
  v.field("losses", o.losses, "added up; empty: one margin loss");
  v.field("loss_lr_multiplier", o.loss_lr_multiplier,
          "factor on the learning rate of the losses' own parameters (beta, centres, weights)",
          config::at_least(0.0));
  v.field("images_per_id", o.images_per_id,
          "images of each id in a batch, side by side; ids with fewer repeat them, ids with one "
          "image are left out",
          config::between(2, 1024));
  v.field("memory", o.memory,
          "embeddings of earlier batches with which triplets are made, too: cross-batch memory; 0: "
          "none",
          config::at_least(0));
  v.field("memory_from", o.memory_from, "first epoch of the chain that uses the memory",
          config::at_least(0));
  v.field("split", o.split,
          "what folds hold out: closed: images of ids that are trained, too; disjoint: whole ids; "
          "open: open_share of the ids as a whole, and images of the others. With folds.folds_from "
          "the file decides, and disjoint only checks it",
          config::one_of({"closed", "disjoint", "open"}));
  v.field("open_share", o.open_share, "open: share of ids that are held out as a whole",
          config::between(0.0, 1.0));
  v.field("divide", o.divide, "divide and conquer: learners for parts of the data");
}

}  // namespace baleen
