#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace baleen {

/// What to build. Unknown names list the known ones.
struct BackboneOptions {
  std::string name;
  int64_t num_outputs = 1;  ///< K
  int64_t in_channels = 3;  ///< 1, 3 or 4
  double dropout = 0.0;     ///< probability, where the network has dropout
  bool auxiliary = false;   ///< train with the auxiliary classifier, where the network has one
  bool checkpoint = false;  ///< recompute cheap layers in the backward pass, where the network can:
                            ///< less memory, the same numbers
  std::string head = "linear";  ///< "linear": the published head; "gap": GapNet's, over all stages
  bool coordinates = false;     ///< CoordConv: two coordinate channels join the stem's input
                                ///< (factories find them counted in in_channels)
  bool coordinate_radius = false;  ///< with coordinates: a third one, the distance from the centre
};

/// What a training step's loss is made of: loss(main) + auxiliary_weight * loss(auxiliary).
struct TrainingLogits {
  at::Tensor main;       ///< [N, K]
  at::Tensor auxiliary;  ///< [N, K]; undefined: there is none
  double auxiliary_weight = 0.0;
};

/// An image network: stage maps and logits.
///
/// Parameter and buffer names are torchvision's where it has the network, so that published weights
/// load by name. The head is the last linear layer; everything else is the trunk.
class Backbone : public torch::nn::Module {
 public:
  /// Feature maps of each stage, coarse last: M tensors [N, C_m, H_m, W_m].
  virtual std::vector<at::Tensor> features(const at::Tensor& images_NCHW) = 0;
  /// What the head sees of each image, before dropout, [N, D]: for metric learning. The global
  /// average of the last map, unless the network pools otherwise. D is the head's number of inputs.
  virtual at::Tensor embedding(const at::Tensor& images_NCHW);
  /// Logits [N, K].
  virtual at::Tensor forward(const at::Tensor& images_NCHW) = 0;
  /// What a training step calls: logits, with those of an auxiliary classifier where there is one.
  virtual TrainingLogits forward_training(const at::Tensor& images_NCHW) {
    return {forward(images_NCHW), {}, 0.0};
  }
  /// C_m of each map that features() returns, in its order.
  virtual std::vector<int64_t> stage_channels() const = 0;
  /// Name of the first convolution's module, e.g. "conv1": the one whose weights depend on the
  /// number of image channels.
  virtual std::string stem_name() const = 0;
  /// Name of the head's module, e.g. "fc": its parameters start with "fc.".
  virtual std::string head_name() const = 0;
  /// Names of the modules between the last map and the head: hidden layers that features() leaves
  /// out. Most networks have none.
  virtual std::vector<std::string> hidden_names() const { return {}; }

  /// Converts parameters and buffers that are floating point; counters stay what they are, other
  /// than in torch::nn::Module.
  void to(at::ScalarType dtype, bool non_blocking = false) override;
  void to(at::Device device, at::ScalarType dtype, bool non_blocking = false) override;
  using torch::nn::Module::to;
};

/// One row of `baleen models`.
struct BackboneInfo {
  std::string name;
  std::string description;
  std::string source;  ///< paper or reference implementation
  int64_t min_size_px = 1;
  int64_t usual_size_px = 224;
  bool has_auxiliary = false;  ///< BackboneOptions::auxiliary means something
};

/// The networks a recipe can name. Filled by explicit calls in launch/wiring.cpp.
class BackboneRegistry {
 public:
  using Factory = std::function<std::shared_ptr<Backbone>(const BackboneOptions&)>;
  void add(BackboneInfo info, Factory factory);
  /// Fresh weights drawn from LibTorch's default CPU generator: seed it first.
  /// @throws Error kConfiguration for an unknown name, naming the nearest and all known ones.
  std::shared_ptr<Backbone> create(const BackboneOptions& options) const;
  /// In order of registration.
  const std::vector<BackboneInfo>& list() const { return infos_; }
  const BackboneInfo& info(const std::string& name) const;

 private:
  std::vector<BackboneInfo> infos_;
  std::vector<Factory> factories_;
};

}  // namespace baleen
