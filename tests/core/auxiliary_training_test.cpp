// What a training step makes of auxiliary logits: loss(main) + weight * loss(auxiliary) over the
// whole global batch, for losses with and without batch terms, however the batch is cut.

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/linear.h>

#include "core/nn/backbone.h"
#include "core/nn/zero_gradients.h"
#include "core/training/trainer.h"

namespace baleen {
namespace {

constexpr int64_t kImages = 12;
constexpr int64_t kLabels = 4;
constexpr double kWeight = 0.4;

/// Two linear classifiers on the pixels.
class TwoHeads final : public Backbone {
 public:
  explicit TwoHeads(bool auxiliary_rests) : auxiliary_rests_(auxiliary_rests) {
    main_ = register_module("main", torch::nn::Linear(6, kLabels));
    auxiliary_ = register_module("auxiliary", torch::nn::Linear(6, kLabels));
  }
  std::vector<at::Tensor> features(const at::Tensor& images) override { return {images}; }
  at::Tensor forward(const at::Tensor& images) override {
    return main_->forward(images.flatten(1));
  }
  TrainingLogits forward_training(const at::Tensor& images) override {
    if (auxiliary_rests_)
      return {with_zero_gradients(forward(images), auxiliary_->parameters()), {}, 0.0};
    return {forward(images), auxiliary_->forward(images.flatten(1)), kWeight};
  }
  std::vector<int64_t> stage_channels() const override { return {1}; }
  std::string stem_name() const override { return "main"; }
  std::string head_name() const override { return "main"; }

 private:
  torch::nn::Linear main_{nullptr}, auxiliary_{nullptr};
  bool auxiliary_rests_;
};

/// One rank with all shards: gradients add up in the parameters.
class LocalReducer final : public GradientReducer {
 public:
  LocalReducer(torch::nn::Module& network, int64_t num_shards)
      : network_(network), num_shards_(num_shards) {}
  ShardRange shards() const override { return {0, num_shards_, num_shards_}; }
  void backward(int64_t shard, bool first_of_shard, bool, const at::Tensor& loss) override {
    if (shard == 0 && first_of_shard) network_.zero_grad();
    loss.backward();
  }
  void accumulate(int64_t shard, std::vector<at::Tensor> gradients) override {
    if (shard == 0) network_.zero_grad();
    const auto parameters = network_.parameters();
    for (size_t i = 0; i < parameters.size(); ++i) {
      at::Tensor& sum = parameters[i].mutable_grad();
      if (!gradients[i].defined()) continue;
      sum = sum.defined() ? sum + gradients[i] : gradients[i];
    }
  }
  at::Tensor gather_shards(const at::Tensor& rows) override { return rows; }
  void broadcast_buffers() override {}
  std::chrono::steady_clock::time_point computed_at() const override {
    return std::chrono::steady_clock::now();
  }
  bool any(bool here) override { return here; }

 private:
  torch::nn::Module& network_;
  int64_t num_shards_;
};

/// One step: the global batch, cut into shards of unequal size and micro-batches.
class OneStep final : public BatchSource {
 public:
  OneStep(at::Tensor images, at::Tensor targets, int64_t num_shards, int64_t accumulate)
      : images_(std::move(images)),
        targets_(std::move(targets)),
        num_shards_(num_shards),
        accumulate_(accumulate) {}
  int64_t steps_per_epoch() const override { return 1; }
  void set_epoch(int64_t, int64_t) override { part_ = 0; }
  std::optional<Batch> next() override {
    const int64_t parts = num_shards_ * accumulate_;
    if (part_ == parts) return std::nullopt;
    const int64_t from = kImages * part_ / parts, to = kImages * (part_ + 1) / parts;
    Batch batch;
    batch.images_NCHW = images_.slice(0, from, to);
    batch.targets = targets_.slice(0, from, to);
    batch.shard = part_ / accumulate_;
    batch.first_of_shard = part_ % accumulate_ == 0;
    batch.last_of_shard = part_ % accumulate_ == accumulate_ - 1;
    batch.global_count = kImages;
    ++part_;
    return batch;
  }

 private:
  at::Tensor images_, targets_;
  int64_t num_shards_, accumulate_;
  int64_t part_ = 0;
};

/// The mean BCE, plus 1 - F2 of all decisions at once where asked for, from the formulas.
at::Tensor formula(const std::string& kind, const at::Tensor& logits, const at::Tensor& targets) {
  const at::Tensor p = at::sigmoid(logits);
  const at::Tensor bce = -(targets * p.log() + (1 - targets) * (1 - p).log()).mean();
  if (kind == "bce") return bce;
  const double epsilon = 1e-6;
  const at::Tensor hits = (p * targets).sum();
  const at::Tensor precision = hits / (p.sum() + epsilon);
  const at::Tensor recall = hits / (targets.sum() + epsilon);
  return bce + (1 - 5 * precision * recall / (4 * precision + recall + epsilon));
}

class AuxiliaryTrainingTest : public ::testing::Test {
 protected:
  void SetUp() override {
    at::manual_seed(31);
    images_ = at::randn({kImages, 1, 2, 3}, at::kDouble);
    targets_ = at::randint(0, 2, {kImages, kLabels}).to(at::kDouble);
  }
  static TwoHeads network(bool auxiliary_rests) {
    at::manual_seed(32);
    TwoHeads made(auxiliary_rests);
    made.to(at::kDouble);
    return made;
  }
  /// Runs one step of learning rate 0 and returns what it reported; gradients stay in the network.
  double step(TwoHeads& network, const std::string& kind, int64_t num_shards, int64_t accumulate) {
    const auto loss = make_loss({.kind = kind, .f2_variant = "global"}, kLabels);
    const OptimizerOptions options{.kind = "sgd", .lr = 0.0};
    Optimizer optimizer(parameter_groups(network, options), options);
    const Schedule schedule(ScheduleOptions{}, 0.0, ScheduleSpan{1, 1});
    LocalReducer reducer(network, num_shards);
    OneStep source(images_, targets_, num_shards, accumulate);
    Trainer trainer({&network, loss.get(), &optimizer, &schedule, &reducer}, TrainerOptions{});
    EpochProgress progress;
    EXPECT_TRUE(trainer.run_epoch(source, 0, 0, progress, {}));
    return progress.mean_loss();
  }
  at::Tensor images_, targets_;
};

TEST_F(AuxiliaryTrainingTest, LossAndGradientsAreTheWeightedSumHoweverTheBatchIsCut) {
  for (const std::string kind : {"bce", "bce_soft_f2"}) {
    for (const bool rests : {false, true}) {
      TwoHeads reference = network(rests);
      const TrainingLogits logits = reference.forward_training(images_);
      at::Tensor expected = formula(kind, logits.main, targets_);
      if (!rests) expected = expected + kWeight * formula(kind, logits.auxiliary, targets_);
      expected.backward();
      for (const auto& [num_shards, accumulate] :
           {std::pair<int64_t, int64_t>{1, 1}, {5, 1}, {2, 3}}) {
        TwoHeads trained = network(rests);
        const double loss = step(trained, kind, num_shards, accumulate);
        EXPECT_NEAR(loss, expected.item<double>(), 1e-12) << kind << ' ' << num_shards;
        const auto ours = trained.parameters(), theirs = reference.parameters();
        for (size_t i = 0; i < ours.size(); ++i) {
          EXPECT_LT((ours[i].grad() - theirs[i].grad()).abs().max().item<double>(), 1e-12)
              << kind << ' ' << num_shards << ' ' << i;
          const bool is_auxiliary = i >= 2;
          EXPECT_EQ(theirs[i].grad().abs().max().item<double>() == 0.0, rests && is_auxiliary);
        }
      }
    }
  }
}

}  // namespace
}  // namespace baleen
