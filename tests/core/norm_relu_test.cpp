#include "core/nn/norm_relu.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/batchnorm.h>

#include <limits>
#include <vector>

#include "core/nn/batch_norm.h"
#include "core/nn/dense_maps.h"
#include "core/nn/plain_passes.h"
#include "tests/support/tensor_threads.h"

namespace baleen {
namespace {

constexpr auto kNHWC = at::MemoryFormat::ChannelsLast;

/// Largest difference, relative to the largest element of the expected tensor.
double difference(const at::Tensor& actual, const at::Tensor& expected) {
  const at::Tensor a = actual.detach().to(at::kDouble), e = expected.detach().to(at::kDouble);
  return ((a - e).abs().max() / e.abs().max()).item<double>();
}

torch::nn::BatchNorm2d drawn_norm(int64_t channels, at::ScalarType dtype) {
  torch::nn::BatchNorm2d norm(channels);
  norm->to(dtype);
  const at::NoGradGuard no_grad;
  norm->weight.copy_(at::randn({channels}) + 0.5);
  norm->bias.copy_(at::randn({channels}));
  norm->running_mean.copy_(at::randn({channels}));
  norm->running_var.copy_(at::rand({channels}) + 0.5);
  return norm;
}

/// What follows the norm.
enum class Then { kNothing, kReLU, kPReLU, kAddReLU };
constexpr Then kAll[] = {Then::kNothing, Then::kReLU, Then::kPReLU, Then::kAddReLU};

at::Tensor by_kernels(Then then, torch::nn::BatchNorm2dImpl& norm, const at::Tensor& x,
                      const at::Tensor& slope, const at::Tensor& addend) {
  if (then == Then::kNothing) return normalised(norm, x);
  if (then == Then::kReLU) return norm_relu(norm, x);
  if (then == Then::kPReLU) return norm_prelu(norm, slope, x);
  return norm_add_relu(norm, x, addend);
}

/// The gradients of everything, and the statistics that moved.
struct Passed {
  at::Tensor y;
  std::vector<at::Tensor> all;
  at::Tensor dx() const { return all[0]; }
  at::Tensor dweight() const { return all[1]; }
  at::Tensor variance() const { return all[4]; }
};

/// One pass forth and back. Channels far from zero, where careless variances lose their digits.
Passed pass(Then then, at::ScalarType dtype, at::IntArrayRef shape, bool training, bool fused) {
  at::manual_seed(4);
  const auto weight_type = dtype == at::kDouble ? at::kDouble : at::kFloat;
  auto norm = drawn_norm(shape[1], weight_type);
  norm->train(training);
  const auto drawn = [&](double offset) {
    const at::Tensor map = at::randn(shape) + offset * at::randn({1, shape[1], 1, 1});
    return map.to(dtype).contiguous(kNHWC).requires_grad_();
  };
  const at::Tensor x = drawn(8.0), addend = drawn(0.0);
  const at::Tensor slope = at::randn({shape[1]}).to(weight_type).requires_grad_();
  const at::Tensor upstream = at::randn(shape).to(dtype).contiguous(kNHWC);
  at::Tensor y;
  if (fused) {
    y = by_kernels(then, *norm, x, slope, addend);
  } else {
    const PlainPasses plain;
    y = by_kernels(then, *norm, x, slope, addend);
  }
  EXPECT_EQ(y.scalar_type(), dtype);
  y.backward(upstream);
  Passed passed{
      y, {x.grad(), norm->weight.grad(), norm->bias.grad(), norm->running_mean, norm->running_var}};
  if (then == Then::kPReLU) passed.all.push_back(slope.grad());
  if (then == Then::kAddReLU) passed.all.push_back(addend.grad());
  EXPECT_EQ(norm->num_batches_tracked.item<int64_t>(), training ? 1 : 0);
  return passed;
}

TEST(NormReLUTest, ValuesGradientsAndStatisticsAreLibTorchs) {
  // Few channels, which the kernels take several pixels of at a time, with pixels left over; many;
  // and one pixel.
  const std::vector<std::vector<int64_t>> shapes{
      {3, 5, 7, 6}, {2, 8, 31, 33}, {4, 67, 33, 20}, {2, 600, 5, 9}, {3, 130, 1, 2}};
  for (const Then then : kAll) {
    for (const bool training : {true, false}) {
      for (const std::vector<int64_t>& shape : shapes) {
        for (const at::ScalarType dtype : {at::kFloat, at::kDouble}) {
          const double tolerance = dtype == at::kFloat ? 1e-4 : 1e-12;
          const Passed theirs = pass(then, dtype, shape, training, false);
          for (const int threads : {1, 3}) {
            SCOPED_TRACE(fmt::format("kind {}, {} channels, training {}, {}, {} threads",
                                     static_cast<int>(then), shape[1], training,
                                     c10::toString(dtype), threads));
            const WithTensorThreads threads_now(threads);
            const Passed ours = pass(then, dtype, shape, training, true);
            EXPECT_LT(difference(ours.y, theirs.y), tolerance);
            for (size_t i = 0; i < ours.all.size(); ++i)
              EXPECT_LT(difference(ours.all[i], theirs.all[i]), tolerance) << i;
          }
        }
      }
    }
  }
}

TEST(NormReLUTest, TheSameBitsEachTime) {
  const WithTensorThreads threads_now(3);
  for (const Then then : kAll) {
    const Passed once = pass(then, at::kFloat, {4, 24, 33, 20}, true, true);
    const Passed again = pass(then, at::kFloat, {4, 24, 33, 20}, true, true);
    EXPECT_TRUE(at::equal(once.y, again.y));
    for (size_t i = 0; i < once.all.size(); ++i) EXPECT_TRUE(at::equal(once.all[i], again.all[i]));
  }
}

TEST(NormReLUTest, BFloat16IsNoFurtherFromTheTruthThanLibTorch) {
  const std::vector<int64_t> shape{4, 67, 33, 20};
  for (const Then then : kAll) {
    SCOPED_TRACE(static_cast<int>(then));
    const Passed truth = pass(then, at::kDouble, shape, true, false);
    const Passed ours = pass(then, at::kBFloat16, shape, true, true);
    const Passed theirs = pass(then, at::kBFloat16, shape, true, false);
    EXPECT_LT(difference(ours.y, theirs.y), 0.02);
    EXPECT_LE(difference(ours.dweight(), truth.dweight()),
              1.5 * difference(theirs.dweight(), truth.dweight()));
    EXPECT_LT(difference(ours.variance(), theirs.variance()), 1e-3);
    const auto all_apart = [&](const Passed& passed) {
      // Over all pixels: single ones lie on the other side of the kink.
      return ((passed.dx().to(at::kDouble) - truth.dx()).norm() / truth.dx().norm()).item<double>();
    };
    EXPECT_LE(all_apart(ours), 1.1 * all_apart(theirs));
  }
}

TEST(NormReLUTest, NotANumberStaysWhatItIs) {
  auto norm = drawn_norm(2, at::kFloat);
  norm->eval();
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    at::Tensor x = at::zeros({1, 2, 2, 2}, dtype).contiguous(kNHWC);
    x[0][1][0][1].fill_(std::numeric_limits<double>::quiet_NaN());
    const at::NoGradGuard no_grad;
    const at::Tensor y = norm_relu(*norm, x), expected = norm->forward(x).relu();
    EXPECT_TRUE(at::equal(y.isnan(), expected.isnan()));
    EXPECT_EQ(y.isnan().sum().item<int64_t>(), 1);
  }
}

TEST(NormReLUTest, HiddenStatisticsStay) {
  auto norm = drawn_norm(3, at::kFloat);
  struct Holder : torch::nn::Module {};
  auto holder = std::make_shared<Holder>();
  holder->register_module("norm", norm);
  const at::Tensor before = norm->running_mean.clone();
  const at::Tensor x = at::randn({2, 3, 4, 4}).contiguous(kNHWC);
  at::Tensor hidden;
  {
    const FrozenStatistics frozen(*holder);
    hidden = norm_relu(*norm, x);
  }
  EXPECT_TRUE(at::equal(norm->running_mean, before));
  EXPECT_TRUE(at::equal(hidden, norm_relu(*norm, x)));
  EXPECT_FALSE(at::equal(norm->running_mean, before));
}

TEST(NormReLUTest, OneValuePerChannelIsRefusedAsByLibTorch) {
  auto norm = drawn_norm(3, at::kFloat);
  EXPECT_ANY_THROW(norm_relu(*norm, at::randn({1, 3, 1, 1}).contiguous(kNHWC)));
  EXPECT_ANY_THROW(DenseMaps(at::randn({1, 3, 1, 1}).contiguous(kNHWC), 3, true).norm_relu(*norm));
}

/// A block of three maps that each layer normalises anew, and the gradients of everything.
std::vector<at::Tensor> block(at::MemoryFormat layout, bool frozen_norm) {
  at::manual_seed(6);
  std::vector<at::Tensor> maps;
  for (const int64_t channels : {6, 4, 4})
    maps.push_back(at::randn({3, channels, 5, 4}, at::kDouble).contiguous(layout).requires_grad_());
  std::vector<torch::nn::BatchNorm2d> norms;
  for (const int64_t channels : {6, 10, 14}) norms.push_back(drawn_norm(channels, at::kDouble));
  if (frozen_norm) norms[1]->eval();
  std::vector<at::Tensor> results;
  DenseMaps collected(maps[0], 14, true);
  at::Tensor loss = at::zeros({}, at::kDouble);
  for (size_t i = 0; i < 3; ++i) {
    if (i > 0) collected.append(maps[i]);
    const at::Tensor y = collected.norm_relu(*norms[i]);
    results.push_back(y);
    loss = loss + (y * at::randn({3, y.size(1), 5, 4}, at::kDouble)).sum();
  }
  const at::Tensor all = collected.concatenated();
  results.push_back(all);
  (loss + (all * at::randn({3, 14, 5, 4}, at::kDouble)).sum()).backward();
  for (const at::Tensor& map : maps) results.push_back(map.grad());
  for (auto& norm : norms) {
    results.push_back(norm->weight.grad());
    results.push_back(norm->bias.grad());
    results.push_back(norm->running_mean);
    results.push_back(norm->running_var);
  }
  return results;
}

TEST(DenseMapsTest, SideBySideIsTheConcatenation) {
  for (const bool frozen_norm : {false, true}) {
    const auto side_by_side = block(kNHWC, frozen_norm);
    const auto concatenated = block(at::MemoryFormat::Contiguous, frozen_norm);
    ASSERT_EQ(side_by_side.size(), concatenated.size());
    for (size_t i = 0; i < side_by_side.size(); ++i)
      EXPECT_LT(difference(side_by_side[i], concatenated[i]), 1e-12) << i;
  }
}

TEST(DenseMapsTest, NothingIsConcatenatedWhereTheKernelsServe) {
  const at::NoGradGuard no_grad;
  DenseMaps maps(at::randn({2, 4, 3, 3}).contiguous(kNHWC), 8, false);
  maps.append(at::randn({2, 4, 3, 3}).contiguous(kNHWC));
  EXPECT_EQ(maps.concatenated().data_ptr(), maps.concatenated().data_ptr());
  EXPECT_EQ(maps.maps()[0].data_ptr(), maps.concatenated().data_ptr());
  DenseMaps others(at::randn({2, 4, 3, 3}), 8, false);
  others.append(at::randn({2, 4, 3, 3}));
  EXPECT_NE(others.concatenated().data_ptr(), others.concatenated().data_ptr());
}

}  // namespace
}  // namespace baleen
