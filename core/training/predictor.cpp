#include "core/training/predictor.h"

#include <ATen/ATen.h>

#include "core/base/error.h"
#include "core/nn/evaluation_mode.h"

namespace baleen {

void predict(Backbone& network, const Loss& loss, BatchSource& source, Precision precision,
             const std::vector<View>& views,
             const std::function<void(const std::vector<int64_t>&, const at::Tensor&)>& sink,
             const std::function<bool()>& stop) {
  const at::NoGradGuard no_grad;
  const EvaluationMode evaluation(network);
  const at::Device device = network.parameters().at(0).device();
  source.set_epoch(0, 0);
  while (std::optional<Batch> batch = source.next()) {
    if (stop && stop()) throw Error(ErrorKind::kInterrupted, "a signal asked the run to stop");
    const at::Tensor images = batch->images_NCHW.to(device);
    at::Tensor sum_NK;
    const auto look = [&](const at::Tensor& view) {
      const AutocastScope autocast(device.type(), precision);
      const at::Tensor p = loss.probabilities(network.forward(view)).to(at::kFloat);
      sum_NK = sum_NK.defined() ? sum_NK.add_(p) : p.clone();
    };
    if (views.empty()) {
      look(images);
    } else {
      for (const View& view : views) look(view(images));
      sum_NK.div_(static_cast<double>(views.size()));
    }
    const at::Tensor probabilities = sum_NK.to(at::kCPU).contiguous();
    const at::Tensor finite = at::isfinite(probabilities).all(1);
    if (!finite.all().item<bool>()) {
      const int64_t first = at::argmin(finite.to(at::kInt)).item<int64_t>();
      throw Error(ErrorKind::kNumeric,
                  fmt::format("the prediction for row {} is not finite",
                              batch->rows[static_cast<size_t>(first)]),
                  "the weights have diverged: lower the learning rate or add clip_norm");
    }
    sink(batch->rows, probabilities);
  }
}

}  // namespace baleen
