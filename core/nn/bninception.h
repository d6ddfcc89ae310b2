#pragma once

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include <array>
#include <string>
#include <vector>

#include "core/nn/backbone.h"

namespace baleen {

/// One row of the network's table: channels of each branch. Blocks without a 1x1 branch halve the
/// map and hand their pooled input on as it is.
struct BnInceptionBlockPlan {
  const char* name;           ///< as in the modules' names, e.g. "3a"
  int64_t one = 0;            ///< 1x1; 0: the block halves the map
  int64_t reduce = 0;         ///< 1x1 before the 3x3
  int64_t three = 0;          ///< 3x3
  int64_t double_reduce = 0;  ///< 1x1 before the two 3x3
  int64_t double_three = 0;   ///< both of the two 3x3
  int64_t projection = 0;     ///< 1x1 after the pool; 0: none
  bool maximum_pool = false;

  bool halves() const { return one == 0; }
  int64_t out_channels(int64_t in_channels) const {
    return one + three + double_three + (halves() ? in_channels : projection);
  }
};

/// BN-Inception (Ioffe and Szegedy 2015, "Batch Normalization", arXiv:1502.03167, figure 5) with
/// the names of the PyTorch port in Cadene's `pretrainedmodels`: flat, `conv1_7x7_s2`,
/// `conv1_7x7_s2_bn`, `inception_3a_3x3_reduce`… `last_linear`. Convolutions have a bias though
/// their normalisation makes it redundant. 10 270 240 parameters without the head.
///
/// That port's weights expect blue, green, red in [0, 255] less (104, 117, 128): with the stem's
/// input channels reversed, images.normalise.kind `custom` with mean [128/255, 117/255, 104/255]
/// and std [1/255]. Running statistics move by 0.1 a step; the port's momentum of 0.9 is Caffe's,
/// which counts what is kept, and would leave little but the last batch.
///
/// Pools are those of Caffe (no padding, sizes rounded up), which fit the convolutions beside them
/// on maps of even size only: the published network takes no 300 px images. On odd sizes the pools
/// of the blocks that halve the map are padded by one pixel like these convolutions. Images from 7
/// px on. `dropout` acts before `last_linear`; the port has none.
class BnInception final : public Backbone {
 public:
  static constexpr int64_t kMinSizePx = 7;

  explicit BnInception(const BackboneOptions& options);
  /// The last maps of strides 4, 8, 16 and 32: outputs of conv2_3x3, 3b, 4d and 5b.
  /// @throws Error kConfiguration for images below kMinSizePx, as forward() does.
  std::vector<at::Tensor> features(const at::Tensor& images_NCHW) override;
  at::Tensor forward(const at::Tensor& images_NCHW) override;
  std::vector<int64_t> stage_channels() const override { return {192, 320, 608, 1024}; }
  std::string stem_name() const override { return "conv1_7x7_s2"; }
  std::string head_name() const override { return "last_linear"; }

 private:
  struct Unit {
    torch::nn::Conv2d conv{nullptr};
    torch::nn::BatchNorm2d norm{nullptr};
    at::Tensor operator()(const at::Tensor& x_NCHW);
  };
  struct Block {
    BnInceptionBlockPlan plan;
    Unit one, projection;  ///< empty where the plan has none
    Unit reduce, three, double_reduce, double_first, double_second;
  };
  Unit make_unit(const std::string& name, int64_t in_channels, int64_t out_channels, int64_t kernel,
                 int64_t stride = 1);
  Block make_block(const BnInceptionBlockPlan& plan, int64_t in_channels);
  static at::Tensor run(Block& block, const at::Tensor& x_NCHW);

  Unit conv1_, conv2_reduce_, conv2_;
  std::vector<Block> blocks_;
  torch::nn::Linear last_linear_{nullptr};
  double dropout_;
};

/// bninception.
void add_bninception(BackboneRegistry& registry);

}  // namespace baleen
