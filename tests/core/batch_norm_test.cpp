#include "core/nn/batch_norm.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/nn/memory_format.h"
#include "core/weights/named_tensors.h"
#include "tests/support/backbones.h"

namespace baleen {
namespace {

/// One shard: its own rows are all there are.
class Alone final : public StatisticsExchange {
 public:
  at::Tensor gather(const at::Tensor& row_K) override {
    ++num_questions;
    return row_K.unsqueeze(0);
  }
  int64_t num_questions = 0;
};

/// A network's logits, gradients and statistics after one pass in training mode.
NamedTensors pass(Backbone& network, const at::Tensor& images) {
  network.train();
  at::manual_seed(3);
  const at::Tensor logits = network.forward_training(images).main;
  at::manual_seed(4);
  logits.backward(at::randn(logits.sizes(), logits.options()));
  NamedTensors all{{"logits", logits.detach()}};
  for (const auto& item : network.named_parameters())
    if (item.value().grad().defined()) all.emplace_back("grad " + item.key(), item.value().grad());
  for (const auto& item : network.named_buffers()) all.emplace_back(item.key(), item.value());
  return all;
}

double magnitude(const at::Tensor& tensor) {
  return tensor.to(at::kDouble).abs().max().item<double>();
}

template <class Norm>
int64_t count(const torch::nn::Module& network) {
  int64_t number = 0;
  for (const auto& module : network.modules()) number += module->as<Norm>() != nullptr;
  return number;
}

/// A layer that a network calls past batch_norm() would silently stay local.
TEST(SynchronisedStatisticsTest, EveryLayerOfEveryNetworkAsksAndOneShardIsThePlainFunction) {
  for (const BackboneInfo& info : testing::tested_backbones()) {
    for (const bool channels_last : {false, true}) {
      SCOPED_TRACE(info.name + (channels_last ? ", channels_last" : ""));
      const auto make = [&] {
        at::manual_seed(5);
        BackboneOptions options;
        options.name = info.name;
        options.num_outputs = 3;
        auto network = testing::all_backbones().create(options);
        network->to(at::kDouble);
        if (channels_last) to_channels_last(*network);
        return network;
      };
      const int64_t size = std::max<int64_t>(info.min_size_px, 40);
      at::manual_seed(6);
      const at::Tensor images = at::randn({3, 3, size, size}, at::kDouble)
                                    .contiguous(channels_last ? at::MemoryFormat::ChannelsLast
                                                              : at::MemoryFormat::Contiguous);
      const auto plain = make(), synchronised = make();
      const NamedTensors expected = pass(*plain, images);
      Alone alone;
      const SynchronisedStatistics scope(alone, /*moves_statistics=*/true);
      const NamedTensors actual = pass(*synchronised, images);
      // Once in the forward and once in the backward pass.
      EXPECT_EQ(alone.num_questions, 2 * (count<torch::nn::BatchNorm2d>(*synchronised) +
                                          count<torch::nn::BatchNorm1d>(*synchronised)));
      ASSERT_EQ(actual.size(), expected.size());
      // Gradients that are zero but for rounding (a bias before a norm) are measured by the others.
      double largest = 0.0;
      for (const auto& [name, tensor] : expected)
        if (name.starts_with("grad ")) largest = std::max(largest, magnitude(tensor));
      for (size_t i = 0; i < actual.size(); ++i) {
        const auto& [name, tensor] = expected[i];
        const double floor = name.starts_with("grad ") ? 1e-4 * largest : 1e-9;
        EXPECT_LE(magnitude(actual[i].second - tensor), 1e-6 * std::max(magnitude(tensor), floor))
            << name;
      }
    }
  }
}

TEST(BatchNormTest, OneValueIsNoneToNormaliseBy) {
  torch::nn::BatchNorm2d norm(3);
  const at::Tensor one = at::ones({1, 3, 1, 1});
  try {
    (void)batch_norm(*norm, one);
    ADD_FAILURE() << "a single value has no variance";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfiguration);
    EXPECT_NE(error.hint().find("logical_shards"), std::string::npos) << error.hint();
  }
  EXPECT_TRUE(batch_norm(*norm, at::ones({2, 3, 1, 1})).defined());
  norm->eval();
  EXPECT_TRUE(batch_norm(*norm, one).defined());
}

TEST(SynchronisedStatisticsTest, FlatMapsAndPlainAveragesToo) {
  at::manual_seed(1);
  using Options = torch::nn::BatchNorm1dOptions;
  torch::nn::BatchNorm1d plain(Options(5).momentum(std::nullopt)),
      other(Options(5).momentum(std::nullopt));
  plain->to(at::kDouble);
  other->to(at::kDouble);
  Alone alone;
  for (int step = 0; step < 3; ++step) {
    const at::Tensor x = at::randn({7, 5}, at::kDouble);
    const at::Tensor expected = plain->forward(x);
    const SynchronisedStatistics scope(alone, true);
    EXPECT_TRUE(at::allclose(batch_norm(*other, x), expected, 1e-10, 1e-12));
    EXPECT_TRUE(at::allclose(other->running_mean, plain->running_mean, 1e-10, 1e-12));
    EXPECT_TRUE(at::allclose(other->running_var, plain->running_var, 1e-10, 1e-12));
  }
  EXPECT_EQ(alone.num_questions, 3);
  const SynchronisedStatistics scope(alone, true);
  EXPECT_THROW(batch_norm(*other, at::randn({1, 5}, at::kDouble)), Error);
  other->eval();
  batch_norm(*other, at::randn({1, 5}, at::kDouble));
  EXPECT_EQ(alone.num_questions, 4);
}

TEST(SynchronisedStatisticsTest, ScopesEndAndOnlyOneShardMovesStatistics) {
  torch::nn::BatchNorm2d norm(2);
  Alone alone;
  const at::Tensor x = at::randn({4, 2, 3, 3});
  EXPECT_FALSE(SynchronisedStatistics::active());
  {
    const SynchronisedStatistics scope(alone, /*moves_statistics=*/false);
    EXPECT_TRUE(SynchronisedStatistics::active());
    batch_norm(*norm, x);
  }
  EXPECT_FALSE(SynchronisedStatistics::active());
  EXPECT_EQ(alone.num_questions, 1);
  EXPECT_EQ(norm->num_batches_tracked.item<int64_t>(), 0);
  batch_norm(*norm, x);
  EXPECT_EQ(alone.num_questions, 1);
  EXPECT_EQ(norm->num_batches_tracked.item<int64_t>(), 1);
  EXPECT_THROW(batch_norm_mode_from_name("global"), Error);
}

}  // namespace
}  // namespace baleen
