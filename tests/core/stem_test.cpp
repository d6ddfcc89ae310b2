#include "core/weights/stem.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/weights/pretrained.h"
#include "tests/support/backbones.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

using ::testing::HasSubstr;

TEST(StemTest, ChannelsAreAddedAndLeftOutByTheRules) {
  at::manual_seed(1);
  const at::Tensor colour = at::randn({5, 3, 2, 2}, at::kDouble);
  const auto channels = [&](int64_t image, int64_t coordinates, const at::Tensor& weight,
                            bool file_has_coordinates = false) {
    return adapt_stem(weight, {image, coordinates}, GreyStem::kLuma, file_has_coordinates);
  };
  EXPECT_TRUE(channels(3, 0, colour).weight_OIHW.is_same(colour));
  EXPECT_EQ(channels(3, 0, colour).note, "");

  const AdaptedStem luma = channels(1, 0, colour);
  const at::Tensor expected =
      0.299 * colour.select(1, 0) + 0.587 * colour.select(1, 1) + 0.114 * colour.select(1, 2);
  EXPECT_TRUE(at::allclose(luma.weight_OIHW, expected.unsqueeze(1), 1e-14, 1e-14));
  EXPECT_THAT(luma.note, HasSubstr("weighted by luma"));
  const AdaptedStem sum = adapt_stem(colour, {1, 0}, GreyStem::kSum);
  EXPECT_TRUE(at::equal(sum.weight_OIHW, colour.sum(1, true)));

  const AdaptedStem four = channels(4, 0, colour);
  EXPECT_TRUE(at::equal(four.weight_OIHW.slice(1, 0, 3), colour));
  EXPECT_EQ(four.weight_OIHW.select(1, 3).abs().max().item<double>(), 0.0);
  EXPECT_THAT(four.note, HasSubstr("channel 4 begins at zero"));

  const AdaptedStem coordinates = channels(3, 2, colour);
  EXPECT_EQ(coordinates.weight_OIHW.size(1), 5);
  EXPECT_EQ(coordinates.weight_OIHW.slice(1, 3).abs().max().item<double>(), 0.0);
  EXPECT_THAT(coordinates.note, HasSubstr("2 coordinate channels begin at zero"));
  EXPECT_EQ(channels(4, 2, colour).weight_OIHW.size(1), 6);

  // One grey channel and two coordinates make three: only the file's own word tells them from
  // colours.
  const AdaptedStem grey = channels(1, 2, colour);
  EXPECT_EQ(grey.weight_OIHW.size(1), 3);
  EXPECT_EQ(grey.weight_OIHW.slice(1, 1).abs().max().item<double>(), 0.0);
  EXPECT_TRUE(channels(1, 2, colour, true).weight_OIHW.is_same(colour));

  // What no rule covers stays as it is, for load_state to refuse.
  EXPECT_EQ(channels(3, 0, at::zeros({5, 4, 2, 2})).weight_OIHW.size(1), 4);
  EXPECT_EQ(channels(1, 0, at::zeros({5, 4, 2, 2})).weight_OIHW.size(1), 4);
  EXPECT_EQ(channels(3, 0, at::zeros({5})).weight_OIHW.dim(), 1);
  EXPECT_THROW(grey_stem_from_name("mean"), Error);
}

/// Every network: what the adapted one sees is what the published one saw.
class StemOfEveryNetworkTest : public ::testing::Test {
 protected:
  static constexpr int64_t kOutputs = 3;

  std::shared_ptr<Backbone> make(const BackboneInfo& info, int64_t channels) {
    BackboneOptions options;
    options.name = info.name;
    options.num_outputs = kOutputs;
    options.in_channels = channels;
    auto network = testing::all_backbones().create(options);
    network->to(at::kDouble);
    network->eval();
    return network;
  }

  /// A network for `channels` that starts from the weights of one for colours.
  std::shared_ptr<Backbone> adapted(const BackboneInfo& info, Backbone& colour, int64_t channels,
                                    GreyStem grey) {
    write_safetensors(directory_ / "colour.safetensors", state_of(colour));
    auto network = make(info, channels);
    const LoadReport report =
        load_pretrained(*network, directory_ / "colour.safetensors", {channels, grey});
    EXPECT_THAT(report.summary(), HasSubstr("the stem's"));
    EXPECT_FALSE(report.head_is_fresh) << report.summary();
    return network;
  }

  static void expect_same(const at::Tensor& actual, const at::Tensor& expected) {
    const double scale = expected.abs().max().item<double>();
    EXPECT_GT(scale, 0.0);
    EXPECT_LE((actual - expected).abs().max().item<double>(), 1e-11 * scale);
  }

  testing::TemporaryDirectory directory_;
};

TEST_F(StemOfEveryNetworkTest, GreyAndFourChannelsAreTheColourFunction) {
  const at::NoGradGuard no_grad;
  for (const BackboneInfo& info : testing::tested_backbones()) {
    SCOPED_TRACE(info.name);
    at::manual_seed(7);
    const auto colour = make(info, 3);
    const int64_t size = std::max<int64_t>(info.min_size_px, 32);
    const at::Tensor grey = at::randn({2, 1, size, size}, at::kDouble);
    const at::Tensor rgb = at::randn({2, 3, size, size}, at::kDouble);
    const at::Tensor infrared = at::randn({2, 1, size, size}, at::kDouble);
    const at::Tensor luma = at::tensor({0.299, 0.587, 0.114}, at::kDouble).view({1, 3, 1, 1});
    expect_same(adapted(info, *colour, 1, GreyStem::kSum)->forward(grey),
                colour->forward(grey.expand({-1, 3, -1, -1}).contiguous()));
    expect_same(adapted(info, *colour, 1, GreyStem::kLuma)->forward(grey),
                colour->forward(grey * luma));
    expect_same(adapted(info, *colour, 4, GreyStem::kLuma)->forward(at::cat({rgb, infrared}, 1)),
                colour->forward(rgb));
  }
}

}  // namespace
}  // namespace baleen
