#include "core/losses/metric/pair_losses.h"

#include <ATen/ATen.h>

namespace baleen {
namespace {

/// distances[rows, columns], [T].
at::Tensor cells(const at::Tensor& distances_BR, const at::Tensor& rows,
                 const at::Tensor& columns) {
  const at::Tensor flat = rows * distances_BR.size(1) + columns;
  return distances_BR.reshape({-1}).index_select(0, flat.to(distances_BR.device()));
}

}  // namespace

at::Tensor TripletBased::value(const EmbeddingBatch& batch,
                               std::span<const at::Tensor> parameters) const {
  const at::Tensor distances = distance_matrix(batch.embeddings_BD, batch.references_RD);
  MiningOptions miner = miner_;
  miner.dimension = batch.columns.size();
  CounterRandom random(batch.seed);
  const Triplets triplets =
      mine_triplets(distances.detach().to(at::kCPU), batch.labels_B, batch.labels_R, miner, random);
  return of_triplets(distances, triplets, batch.labels_B, parameters);
}

MarginLoss::MarginLoss(MiningOptions miner, const Options& options, int64_t num_identities)
    : TripletBased(std::move(miner)),
      options_(options),
      beta_(at::full({options.per_identity ? num_identities : 1}, options.beta,
                     options.learn ? at::kFloat : at::kDouble)) {}

at::Tensor MarginLoss::of_triplets(const at::Tensor& distances_BR, const Triplets& triplets,
                                   const at::Tensor& labels_B,
                                   std::span<const at::Tensor> parameters) const {
  const at::Tensor beta = options_.learn ? parameters[0] : beta_.to(distances_BR.device());
  const at::Tensor of_anchor =
      options_.per_identity
          ? beta.index_select(0,
                              labels_B.index_select(0, triplets.anchors).to(distances_BR.device()))
          : beta;
  const at::Tensor positive =
      (cells(distances_BR, triplets.anchors, triplets.positives) - of_anchor + options_.alpha)
          .relu();
  const at::Tensor negative =
      (of_anchor - cells(distances_BR, triplets.anchors, triplets.negatives) + options_.alpha)
          .relu();
  const at::Tensor active = (positive.detach() > 0).sum() + (negative.detach() > 0).sum();
  // Without active terms the numerator is 0 and keeps its graph, with zero gradients.
  const at::Tensor count = active.clamp_min(1).to(at::kDouble);
  const at::Tensor nu = options_.nu * (active > 0).to(at::kDouble);
  return (positive.sum() + negative.sum() + nu * beta.abs().sum()) / count;
}

at::Tensor TripletLoss::of_triplets(const at::Tensor& distances_BR, const Triplets& triplets,
                                    const at::Tensor& /*labels_B*/,
                                    std::span<const at::Tensor> /*parameters*/) const {
  const at::Tensor violation = cells(distances_BR, triplets.anchors, triplets.positives) -
                               cells(distances_BR, triplets.anchors, triplets.negatives) + margin_;
  const at::Tensor terms = smooth_ ? at::softplus(violation) : violation.relu();
  const at::Tensor active = (terms.detach() > 0).sum().clamp_min(1).to(at::kDouble);
  return terms.sum() / active;
}

}  // namespace baleen
