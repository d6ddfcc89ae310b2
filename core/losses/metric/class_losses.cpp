#include "core/losses/metric/class_losses.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <map>
#include <numbers>
#include <vector>

namespace baleen {
namespace {

constexpr double kCosineMargin = 1e-7;

/// Rows of unit length.
at::Tensor unit_rows(const at::Tensor& rows) {
  return rows / rows.norm(2, 1, /*keepdim=*/true).clamp_min(1e-12);
}

at::Tensor columns_of(const at::Tensor& weight, const ColumnRange& columns) {
  return weight.narrow(1, columns.first, columns.size());
}

/// As torch.nn.Linear draws its weights: uniform in ±1/sqrt(fan in).
at::Tensor fresh_weights(int64_t rows, int64_t columns) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(columns));
  return at::empty({rows, columns}, at::kFloat).uniform_(-bound, bound);
}

/// 1 in each row's own column.
at::Tensor one_hot(const at::Tensor& labels_B, int64_t num_columns, at::Device device) {
  return at::zeros({labels_B.size(0), num_columns}, at::TensorOptions(at::kDouble).device(device))
      .scatter_(1, labels_B.to(device).unsqueeze(1), 1.0);
}

at::Tensor cross_entropy(const at::Tensor& logits_BC, const at::Tensor& labels_B) {
  return at::cross_entropy_loss(logits_BC, labels_B.to(logits_BC.device()));
}

}  // namespace

AngularLoss::AngularLoss(const Options& options, const EmbeddingShape& shape)
    : options_(options), weight_CD_(fresh_weights(shape.num_identities, shape.dimension)) {}

at::Tensor AngularLoss::value(const EmbeddingBatch& batch,
                              std::span<const at::Tensor> parameters) const {
  const at::Tensor weight = unit_rows(columns_of(parameters[0], batch.columns));
  const at::Tensor cosines = unit_rows(batch.embeddings_BD)
                                 .matmul(weight.t())
                                 .clamp(-1 + kCosineMargin, 1 - kCosineMargin);
  const double m = options_.margin;
  at::Tensor smaller;
  if (options_.angle) {
    const at::Tensor angles = cosines.acos();
    smaller =
        at::where(angles <= std::numbers::pi - m, (angles + m).cos(), cosines - m * std::sin(m));
  } else {
    smaller = cosines - m;
  }
  const at::Tensor own = one_hot(batch.labels_B, weight.size(0), cosines.device());
  const at::Tensor logits = options_.scale * at::where(own > 0, smaller, cosines);
  return cross_entropy(logits, batch.labels_B);
}

SoftTripleLoss::SoftTripleLoss(const Options& options, const EmbeddingShape& shape)
    : options_(options),
      num_identities_(shape.num_identities),
      centres_CKD_(fresh_weights(shape.num_identities * options.centres, shape.dimension)) {}

at::Tensor SoftTripleLoss::value(const EmbeddingBatch& batch,
                                 std::span<const at::Tensor> parameters) const {
  const int64_t k = options_.centres;
  const at::Tensor centres = unit_rows(columns_of(parameters[0], batch.columns));
  const at::Tensor similarities =
      unit_rows(batch.embeddings_BD).matmul(centres.t()).view({-1, num_identities_, k});
  const at::Tensor relaxed = ((similarities / options_.gamma).softmax(2) * similarities).sum(2);
  const at::Tensor own = one_hot(batch.labels_B, num_identities_, relaxed.device());
  at::Tensor loss =
      cross_entropy(options_.lambda * (relaxed - options_.delta * own), batch.labels_B);
  if (k > 1 && options_.tau > 0) {
    const at::Tensor by_identity = centres.view({num_identities_, k, -1});
    const at::Tensor products = by_identity.matmul(by_identity.transpose(1, 2));
    const at::Tensor pairs =
        at::ones({k, k}, at::TensorOptions(at::kBool).device(centres.device())).triu(1);
    const at::Tensor spread = (2.0 + 1e-5 - 2 * products.masked_select(pairs)).clamp_min(0).sqrt();
    const auto count = static_cast<double>(num_identities_ * k * (k - 1));
    loss = loss + options_.tau / count * spread.sum();
  }
  return loss;
}

at::Tensor ProtoLoss::value(const EmbeddingBatch& batch,
                            std::span<const at::Tensor> /*parameters*/) const {
  std::map<int64_t, std::vector<int64_t>> positions;
  const auto labels = batch.labels_B.accessor<int64_t, 1>();
  for (int64_t i = 0; i < labels.size(0); ++i) positions[labels[i]].push_back(i);
  std::vector<int64_t> support, queries, classes;
  int64_t num_classes = 0;
  for (const auto& [label, all] : positions) {
    if (static_cast<int64_t>(all.size()) <= shots_) continue;
    for (size_t i = 0; i < all.size(); ++i) {
      if (static_cast<int64_t>(i) < shots_) {
        support.push_back(all[i]);
      } else {
        queries.push_back(all[i]);
        classes.push_back(num_classes);
      }
    }
    ++num_classes;
  }
  const at::Tensor& embeddings = batch.embeddings_BD;
  if (num_classes < 2) return embeddings.sum() * 0.0;
  const auto rows = [&](const std::vector<int64_t>& chosen) {
    return embeddings.index_select(0, at::tensor(chosen, at::kLong).to(embeddings.device()));
  };
  const at::Tensor prototypes =
      rows(support).view({num_classes, shots_, embeddings.size(1)}).mean(1);
  const at::Tensor asked = rows(queries);
  const at::Tensor squares = asked.square().sum(1).unsqueeze(1) +
                             prototypes.square().sum(1).unsqueeze(0) -
                             2 * asked.matmul(prototypes.t());
  return cross_entropy(-squares, at::tensor(classes, at::kLong));
}

CenterLoss::CenterLoss(double rate, const EmbeddingShape& shape)
    : rate_(rate), centres_CD_(at::zeros({shape.num_identities, shape.dimension}, at::kDouble)) {}

at::Tensor CenterLoss::value(const EmbeddingBatch& batch,
                             std::span<const at::Tensor> /*parameters*/) const {
  const at::Tensor own = columns_of(centres_CD_, batch.columns).index_select(0, batch.labels_B);
  return 0.5 * (batch.raw_BD - own.to(batch.raw_BD.device())).square().sum(1).mean();
}

void CenterLoss::update(const EmbeddingBatch& batch) {
  const at::NoGradGuard no_grad;
  at::Tensor centres = columns_of(centres_CD_, batch.columns);
  const at::Tensor outputs = batch.raw_BD.detach().to(at::kCPU);
  const at::Tensor counts =
      at::zeros({centres.size(0)}, at::kDouble)
          .index_add_(0, batch.labels_B, at::ones({outputs.size(0)}, at::kDouble));
  const at::Tensor offsets =
      at::zeros_like(centres, at::MemoryFormat::Contiguous)
          .index_add_(0, batch.labels_B, centres.index_select(0, batch.labels_B) - outputs);
  centres.sub_(rate_ * offsets / (1 + counts).unsqueeze(1));
}

RingLoss::RingLoss(double radius) : radius_(at::full({1}, radius, at::kFloat)) {}

at::Tensor RingLoss::value(const EmbeddingBatch& batch,
                           std::span<const at::Tensor> parameters) const {
  const at::Tensor lengths = (batch.raw_BD.square().sum(1) + 1e-24).sqrt();
  return 0.5 * (lengths - parameters[0]).square().mean();
}

}  // namespace baleen
