#include "core/training/view_fusion.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/base/error.h"
#include "core/losses/metric/embedding_output.h"
#include "core/training/predictor.h"

namespace baleen {
namespace {

TEST(FuseRanksTest, OrderComesFromRanksAndValuesFromSortedMeans) {
  // Three outputs a, b, c. Ranks: (0, 1, 2), (1, 0, 2), (1, 0, 2), scores a: 1 + 1/2 + 1/2 = 2,
  // b: 1/2 + 1 + 1 = 2.5, c: 1. The first look is so sure that the mean would put a first.
  const at::Tensor looks =
      at::tensor({0.96f, 0.03f, 0.01f, 0.40f, 0.45f, 0.15f, 0.42f, 0.43f, 0.15f}).view({3, 1, 3});
  const at::Tensor fused = fuse_ranks(looks);
  EXPECT_GT(looks.mean(0)[0][0].item<float>(), looks.mean(0)[0][1].item<float>());
  EXPECT_NEAR(fused[0][1].item<float>(), (0.96 + 0.45 + 0.43) / 3, 1e-6);
  EXPECT_NEAR(fused[0][0].item<float>(), (0.03 + 0.40 + 0.42) / 3, 1e-6);
  EXPECT_NEAR(fused[0][2].item<float>(), (0.01 + 0.15 + 0.15) / 3, 1e-6);
}

TEST(FuseRanksTest, ScoresAreThoseOfRankedLists) {
  // Against a direct evaluation of Σ 1 / (rank + 1), on many images.
  at::manual_seed(1);
  const at::Tensor looks = at::rand({5, 40, 12});
  const at::Tensor ranks =
      looks.argsort(-1, /*descending=*/true).argsort(-1, false).to(at::kDouble);
  const at::Tensor scores = (1.0 / (ranks + 1)).sum(0);
  const at::Tensor fused = fuse_ranks(looks);
  // Falling values go with falling scores (ties of scores aside).
  const at::Tensor by_value = fused.argsort(-1, true);
  const at::Tensor in_order = scores.gather(1, by_value);
  EXPECT_GE((in_order.slice(1, 0, 11) - in_order.slice(1, 1, 12)).min().item<double>(), -1e-12);
  // The values are the means of the sorted looks, so that each image keeps its sum.
  const at::Tensor profile = std::get<0>(looks.sort(-1, true)).mean(0);
  EXPECT_TRUE(at::allclose(std::get<0>(fused.sort(-1, true)), profile, 1e-6, 1e-7));
}

TEST(FuseRanksTest, EqualScoresKeepTheOrderOfTheFirstLook) {
  // Ranks (0, 1) and (1, 0): both score 1.5.
  const at::Tensor looks = at::tensor({0.2f, 0.8f, 0.9f, 0.1f}).view({2, 1, 2});
  const at::Tensor fused = fuse_ranks(looks);
  EXPECT_GT(fused[0][1].item<float>(), fused[0][0].item<float>());
  const at::Tensor flipped = fuse_ranks(looks.flip({0}));
  EXPECT_GT(flipped[0][0].item<float>(), flipped[0][1].item<float>());
  // Lists of ranks that are permutations of each other tie whatever the order of addition.
  const at::Tensor three =
      at::tensor({0.5f, 0.3f, 0.2f, 0.2f, 0.5f, 0.3f, 0.3f, 0.2f, 0.5f}).view({3, 1, 3});
  const at::Tensor tied = fuse_ranks(three);
  EXPECT_GT(tied[0][0].item<float>(), tied[0][1].item<float>());
  EXPECT_GT(tied[0][1].item<float>(), tied[0][2].item<float>());
}

TEST(FuseRanksTest, OneLookStaysAsItIs) {
  const at::Tensor looks = at::rand({1, 6, 4});
  EXPECT_TRUE(at::equal(fuse_ranks(looks), looks[0]));
}

TEST(FusionTest, NamesAreChecked) {
  EXPECT_EQ(fusion_from_name("mean"), Fusion::kMean);
  EXPECT_EQ(fusion_from_name("rank"), Fusion::kRank);
  EXPECT_THROW(fusion_from_name("median"), Error);
}

/// Logits are the first pixels of each image.
class PixelNet final : public Backbone {
 public:
  PixelNet() { register_parameter("unused", at::zeros({1})); }
  std::vector<at::Tensor> features(const at::Tensor& images) override { return {images}; }
  at::Tensor forward(const at::Tensor& images) override { return images.flatten(1).slice(1, 0, 3); }
  std::vector<int64_t> stage_channels() const override { return {1}; }
  std::string stem_name() const override { return "unused"; }
  std::string head_name() const override { return "unused"; }
};

/// Two chunks of two images; pass p of size s holds s + 10·p everywhere but in the first pixel.
class FakePasses final : public BatchSource {
 public:
  FakePasses(double level, int64_t passes) : level_(level), passes_(passes) {}
  int64_t steps_per_epoch() const override { return 2; }
  void set_epoch(int64_t, int64_t) override { next_ = 0; }
  std::optional<Batch> next() override {
    if (next_ == 2 * (passes_ + 1)) return std::nullopt;
    Batch batch;
    batch.step = next_ / (passes_ + 1);
    batch.pass = next_ % (passes_ + 1);
    batch.rows = {2 * batch.step, 2 * batch.step + 1};
    batch.images_NCHW = at::full({2, 1, 2, 2}, level_ + 10.0 * static_cast<double>(batch.pass));
    batch.images_NCHW.select(3, 0).select(2, 0).add_(static_cast<double>(batch.step));
    batch.finish = [](const at::Tensor& images) { return images / 10.0; };
    ++next_;
    return batch;
  }

 private:
  double level_;
  int64_t passes_;
  int64_t next_ = 0;
};

class Identity final : public Loss {
 public:
  at::Tensor sum(const at::Tensor& logits, const at::Tensor&) const override {
    return logits.sum();
  }
  const BatchTerm* batch_term() const override { return nullptr; }
  at::Tensor probabilities(const at::Tensor& logits) const override { return logits; }
};

TEST(PredictTest, FusesViewsSizesAndRandomPasses) {
  PixelNet network;
  FakePasses small(1.0, 2);
  FakePasses large(4.0, 2);
  const View doubled = [](const at::Tensor& images) { return 2 * images; };
  const View plain = [](const at::Tensor& images) { return images; };
  const std::vector<LookSource> sources = {{&small, {plain, doubled}}, {&large, {plain, doubled}}};
  std::vector<int64_t> rows;
  predict(network, Identity(), sources, Fusion::kMean, Precision::kFloat32,
          [&](const std::vector<int64_t>& chunk, const at::Tensor& p) {
            rows.insert(rows.end(), chunk.begin(), chunk.end());
            // Views count for the plain pass only; the two random passes once each.
            const double step = static_cast<double>(chunk[0] / 2);
            double sum = 0;
            for (double level : {1.0, 4.0})
              sum += (level + step) * (1 + 2) + (level + 10 + step) + (level + 20 + step);
            EXPECT_NEAR(p[0][0].item<float>(), sum / 10 / 8, 1e-5);
          });
  EXPECT_EQ(rows, (std::vector<int64_t>{0, 1, 2, 3}));
}

/// Their mean was kept as it is: shorter where an image's looks differ, so that it weighed less.
TEST(PredictTest, MeansOfEmbeddingsAreBroughtBackToUnitSlices) {
  PixelNet network;
  FakePasses source(1.0, 0);
  const View plain = [](const at::Tensor& images) { return images; };
  const View other = [](const at::Tensor& images) {
    return images * at::tensor({1.0f, -1.0f, 1.0f, 1.0f}).view({1, 1, 2, 2});
  };
  const std::vector<LookSource> sources = {{&source, {plain, other}}};
  for (const int64_t slices : {0, 1, 2}) {
    predict(network, EmbeddingOutput(slices), sources, Fusion::kMean, Precision::kFloat32,
            [&](const std::vector<int64_t>&, const at::Tensor& embeddings) {
              const at::Tensor row = embeddings[0];
              EXPECT_NEAR(row[1].item<double>(), 0, 1e-7);
              if (slices == 0) {
                EXPECT_NEAR(row[2].item<double>(), 0.1, 1e-6) << "features stay as they are";
                return;
              }
              EXPECT_NEAR(row.norm().item<double>(), 1, 1e-6) << slices << " slices";
              if (slices < 2) return;
              EXPECT_NEAR(row.narrow(0, 0, 2).norm().item<double>(), std::sqrt(0.5), 1e-6);
            });
  }
}

TEST(PredictTest, WhatIsNotANumberIsSeenThroughRanks) {
  PixelNet network;
  FakePasses source(0.0, 1);
  const View broken = [](const at::Tensor& images) { return images / 0.0; };
  const std::vector<LookSource> sources = {{&source, {broken}}};
  EXPECT_THROW(predict(network, Identity(), sources, Fusion::kRank, Precision::kFloat32,
                       [](const std::vector<int64_t>&, const at::Tensor&) {}),
               Error);
}

}  // namespace
}  // namespace baleen
