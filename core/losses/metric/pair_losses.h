#pragma once

#include <string>

#include "core/losses/metric/embedding_loss.h"
#include "core/losses/metric/mining.h"

namespace baleen {

/// A loss over triplets.
class TripletBased : public EmbeddingLoss {
 public:
  explicit TripletBased(MiningOptions miner) : miner_(std::move(miner)) {}
  at::Tensor value(const EmbeddingBatch& batch, std::span<const at::Tensor> parameters) const final;
  bool takes_references() const final { return true; }

  /// The loss of given triplets.
  /// @param distances_BR distance_matrix() of the batch
  virtual at::Tensor of_triplets(const at::Tensor& distances_BR, const Triplets& triplets,
                                 const at::Tensor& labels_B,
                                 std::span<const at::Tensor> parameters) const = 0;

 private:
  MiningOptions miner_;
};

/// Margin loss (Wu et al. 2017): [D_ap - β + α]+ + [β - D_an + α]+ over triplets, divided by the
/// number of terms above 0, positive and negative ones counted separately, plus ν Σ|β| in the
/// numerator. β is one number or one per identity (the anchor's), learnt or not. No term above 0:
/// the loss is 0.
class MarginLoss final : public TripletBased {
 public:
  struct Options {
    double alpha = 0.2;
    double beta = 1.2;
    double nu = 0.0;
    bool per_identity = false;
    bool learn = false;
  };
  MarginLoss(MiningOptions miner, const Options& options, int64_t num_identities);
  NamedTensors parameters() const override {
    return options_.learn ? NamedTensors{{"beta", beta_}} : NamedTensors{};
  }
  at::Tensor of_triplets(const at::Tensor& distances_BR, const Triplets& triplets,
                         const at::Tensor& labels_B,
                         std::span<const at::Tensor> parameters) const override;

 private:
  Options options_;
  at::Tensor beta_;  ///< [1] or [C]; float64 where it is not learnt
};

/// Triplet loss: [D_ap - D_an + margin]+, the mean over terms above 0 (Schroff et al. 2015); or
/// smooth: ln(1 + exp(D_ap - D_an + margin)), the mean over all (Hermans et al. 2017, whose
/// margin is 0).
class TripletLoss final : public TripletBased {
 public:
  TripletLoss(MiningOptions miner, double margin, bool smooth)
      : TripletBased(std::move(miner)), margin_(margin), smooth_(smooth) {}
  at::Tensor of_triplets(const at::Tensor& distances_BR, const Triplets& triplets,
                         const at::Tensor& labels_B,
                         std::span<const at::Tensor> parameters) const override;

 private:
  double margin_;
  bool smooth_;
};

}  // namespace baleen
