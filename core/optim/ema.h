#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <vector>

#include "core/config/field.h"
#include "core/weights/named_tensors.h"

namespace baleen {

struct EmaOptions {
  bool enabled = false;
  double decay = 0.999;
  bool warmup = true;
};

template <class Visitor>
void visit_fields(Visitor& v, EmaOptions& o) {
  v.field("enabled", o.enabled,
          "evaluate and keep an exponential moving average of the weights; costs one copy of them");
  v.field("decay", o.decay, "share of the average that is kept at each step",
          config::between(0.0, 1.0));
  v.field(
      "warmup", o.warmup,
      "use min(decay, (1 + t) / (10 + t)) at update t, so that early weights are soon forgotten");
}

/// Exponential moving average of a network's trainable parameters: average ← d·average + (1 -
/// d)·parameter after each step.
///
/// Buffers (running statistics) are not averaged: the averaged network is evaluated with the
/// buffers of the moment. The network must outlive this object, and keep its parameters' dtype and
/// device.
class Ema {
 public:
  Ema(torch::nn::Module& network, EmaOptions options);

  /// After each optimizer step.
  void update();

  /// While alive, the network's parameters are the averages; then they are what they were, bit for
  /// bit. No update() and no optimizer step meanwhile.
  class Swapped {
   public:
    explicit Swapped(Ema& ema);
    ~Swapped();
    Swapped(const Swapped&) = delete;
    Swapped& operator=(const Swapped&) = delete;

   private:
    Ema& ema_;
  };

  /// The averages themselves (no copies), under the parameters' names.
  const NamedTensors& state() const { return averages_; }
  int64_t updates() const { return updates_; }
  /// @throws Error kData naming the first average that is missing or of another shape.
  void load(const NamedTensors& state, int64_t updates);

 private:
  void swap();

  EmaOptions options_;
  std::vector<at::Tensor> parameters_;
  NamedTensors averages_;
  int64_t updates_ = 0;
};

}  // namespace baleen
