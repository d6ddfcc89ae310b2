#pragma once

#include "core/losses/metric/embedding_loss.h"

namespace baleen {

/// Softmax cross-entropy of scaled cosines to one weight vector per identity, where the true
/// identity's is made smaller. ArcFace (Deng et al. 2019): cos(θ + m), and cos θ - m sin m where
/// θ + m would exceed π, so that it falls throughout. CosFace (Wang et al. 2018): cos θ - m.
/// Cosines are kept within 1e-7 of [-1, 1]'s ends, where the angle has no gradient. The mean over
/// the batch.
class AngularLoss final : public EmbeddingLoss {
 public:
  struct Options {
    bool angle = true;  ///< ArcFace; false: CosFace
    double margin = 0.5;
    double scale = 64;
  };
  AngularLoss(const Options& options, const EmbeddingShape& shape);
  NamedTensors parameters() const override { return {{"weight", weight_CD_}}; }
  at::Tensor value(const EmbeddingBatch& batch,
                   std::span<const at::Tensor> parameters) const override;

 private:
  Options options_;
  at::Tensor weight_CD_;
};

/// SoftTriple (Qian et al. 2019): K centres per identity, S_c = Σ_k softmax_k(x·w / γ) x·w;
/// cross-entropy of λ (S_c - δ [c = y]), the mean over the batch; plus
/// τ / (C K (K-1)) Σ_c Σ_{s<t} sqrt(2 + 1e-5 - 2 w_s·w_t), which draws an identity's centres
/// together.
class SoftTripleLoss final : public EmbeddingLoss {
 public:
  struct Options {
    double lambda = 20;
    double gamma = 0.1;
    double tau = 0.2;
    double delta = 0.01;
    int64_t centres = 10;
  };
  SoftTripleLoss(const Options& options, const EmbeddingShape& shape);
  NamedTensors parameters() const override { return {{"centres", centres_CKD_}}; }
  at::Tensor value(const EmbeddingBatch& batch,
                   std::span<const at::Tensor> parameters) const override;

 private:
  Options options_;
  int64_t num_identities_;
  at::Tensor centres_CKD_;  ///< [C * K, D], an identity's side by side
};

/// Prototypical networks (Snell et al. 2017): of each identity in the batch the first `shots`
/// embeddings make its prototype, their mean; the others are told apart by softmax of minus squared
/// distances to all prototypes. The mean over these; identities with too few embeddings take no
/// part; 0 where fewer than two are left.
class ProtoLoss final : public EmbeddingLoss {
 public:
  explicit ProtoLoss(int64_t shots) : shots_(shots) {}
  at::Tensor value(const EmbeddingBatch& batch,
                   std::span<const at::Tensor> parameters) const override;

 private:
  int64_t shots_;
};

/// Centre loss (Wen et al. 2016): half the squared distance of each raw output to its identity's
/// centre, the mean over the batch. Centres follow: c -= rate Σ (c - x) / (1 + n) over the
/// identity's n outputs.
class CenterLoss final : public EmbeddingLoss {
 public:
  CenterLoss(double rate, const EmbeddingShape& shape);
  NamedTensors buffers() const override { return {{"centres", centres_CD_}}; }
  at::Tensor value(const EmbeddingBatch& batch,
                   std::span<const at::Tensor> parameters) const override;
  void update(const EmbeddingBatch& batch) override;

 private:
  double rate_;
  at::Tensor centres_CD_;  ///< float64, on the CPU
};

/// Ring loss (Zheng et al. 2018): half the squared difference between a raw output's length and a
/// learnt radius, the mean over the batch.
class RingLoss final : public EmbeddingLoss {
 public:
  explicit RingLoss(double radius);
  NamedTensors parameters() const override { return {{"radius", radius_}}; }
  at::Tensor value(const EmbeddingBatch& batch,
                   std::span<const at::Tensor> parameters) const override;

 private:
  at::Tensor radius_;
};

}  // namespace baleen
