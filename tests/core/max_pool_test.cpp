#include "core/nn/max_pool.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace baleen {
namespace {

constexpr auto kNHWC = at::MemoryFormat::ChannelsLast;

struct Passed {
  at::Tensor y, dx;
};

Passed pass(const at::Tensor& images, const PoolWindow& window, bool ours) {
  const at::Tensor x = images.detach().clone().requires_grad_();
  const at::Tensor y = ours ? max_pool(x, window)
                            : at::max_pool2d(x, window.kernel, window.stride, window.padding,
                                             {1, 1}, window.ceil_mode);
  at::manual_seed(8);
  y.backward(at::randn(y.sizes()).to(y.scalar_type()).contiguous(kNHWC));
  return {y, x.grad()};
}

const std::vector<PoolWindow> kWindows{{},
                                       {.ceil_mode = true},
                                       {.kernel = {3, 3}},
                                       {.kernel = {3, 3}, .padding = {1, 1}},
                                       {.kernel = {3, 3}, .ceil_mode = true},
                                       {.kernel = {3, 3}, .padding = {1, 0}, .ceil_mode = true},
                                       {.kernel = {3, 3}, .stride = {1, 1}, .padding = {1, 1}},
                                       {.kernel = {2, 3}, .stride = {3, 1}},
                                       {.kernel = {9, 7}, .stride = {1, 1}}};

TEST(MaxPoolTest, ValuesAndGradientsAreLibTorchsToTheBit) {
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kBFloat16}) {
    for (const std::vector<int64_t>& shape :
         std::vector<std::vector<int64_t>>{{2, 5, 13, 10}, {3, 70, 9, 11}, {1, 1, 16, 16}}) {
      at::manual_seed(7);
      // Few values, so that there are ties; and some that are none.
      at::Tensor images = (at::randn(shape) * 3).round().to(dtype).contiguous(kNHWC);
      images.masked_fill_(at::rand(shape) < 0.02, std::numeric_limits<double>::quiet_NaN());
      images[0][0].slice(0, 0, 4).fill_(-std::numeric_limits<double>::infinity());
      for (size_t w = 0; w < kWindows.size(); ++w) {
        const PoolWindow& window = kWindows[w];
        const Passed ours = pass(images, window, true), theirs = pass(images, window, false);
        SCOPED_TRACE(::testing::Message() << "window " << w << ", " << c10::toString(dtype));
        ASSERT_EQ(ours.y.sizes(), theirs.y.sizes());
        EXPECT_TRUE(at::allclose(ours.y, theirs.y, 0, 0, /*equal_nan=*/true));
        EXPECT_TRUE(ours.dx.is_contiguous(kNHWC));
        const bool overlaps =
            window.kernel[0] > window.stride[0] || window.kernel[1] > window.stride[1];
        if (dtype == at::kBFloat16 && overlaps)
          EXPECT_TRUE(at::allclose(ours.dx, theirs.dx, 0.03, 0.1));
        else
          EXPECT_TRUE(at::equal(ours.dx, theirs.dx));
      }
    }
  }
}

TEST(MaxPoolTest, WhatLibTorchRefusesIsRefused) {
  const at::Tensor small = at::randn({1, 2, 2, 5}).contiguous(kNHWC);
  EXPECT_ANY_THROW(max_pool(small, {.kernel = {3, 3}}));
  EXPECT_ANY_THROW(max_pool(small, {.padding = {2, 2}}));
}

}  // namespace
}  // namespace baleen
