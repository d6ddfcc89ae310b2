#pragma once

#include <cstdint>
#include <string>

#include "core/config/field.h"
#include "core/config/parameters.h"

namespace baleen {

/// One loss over embeddings; several are added up.
struct EmbeddingLossOptions {
  std::string kind = "margin";
  double weight = 1.0;
  std::string miner = "auto";
  double miner_cutoff = 0.5;
  double miner_limit = 1.4;
  Parameters parameters;
};

template <class Visitor>
void visit_fields(Visitor& v, EmbeddingLossOptions& o) {
  v.field("kind", o.kind,
          "margin, triplet, soft_triplet, arcface, cosface, proto, soft_triple, center or ring "
          "(docs/re-identification.md)",
          config::one_of({"margin", "triplet", "soft_triplet", "arcface", "cosface", "proto",
                          "soft_triple", "center", "ring"}));
  v.field("weight", o.weight, "factor on this loss in the sum", config::at_least(0.0));
  v.field("miner", o.miner,
          "which triplets margin, triplet and soft_triplet look at: distance_weighted: for each "
          "positive pair one negative, drawn so that all distances are equally likely; "
          "nearest_beyond_cutoff: an anchor's closest negatives from miner_cutoff on, one per "
          "positive; hard: the furthest positive and the closest negative of each anchor; "
          "semi_hard: for each positive pair the closest negative that is further than the "
          "positive, of a triplet loss with a margin by less than that, else the furthest; all: "
          "every one; auto: distance_weighted for margin, else hard",
          config::one_of(
              {"auto", "distance_weighted", "nearest_beyond_cutoff", "hard", "semi_hard", "all"}));
  v.field("miner_cutoff", o.miner_cutoff,
          "distance_weighted: smaller distances count as this one; nearest_beyond_cutoff: the "
          "least distance of a negative",
          config::between(0.0, 2.0));
  v.field("miner_limit", o.miner_limit,
          "distance_weighted: negatives from this distance on are not drawn, as they have no loss "
          "(beta + alpha)",
          config::between(0.0, 2.0));
  v.field("parameters", o.parameters, "the loss's own numbers, by name");
}

}  // namespace baleen
