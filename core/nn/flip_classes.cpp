#include "core/nn/flip_classes.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <utility>

#include "core/base/error.h"

namespace baleen {

FlipClasses::FlipClasses(std::shared_ptr<Backbone> inner, int64_t num_outputs)
    : DecoratedBackbone(std::move(inner)), num_classes_(num_outputs / 2) {
  if (num_outputs % 2 != 0)
    throw Error(ErrorKind::kInternal, fmt::format("{} outputs are not two per class", num_outputs));
}

at::Tensor FlipClasses::forward(const at::Tensor& images_NCHW) {
  const at::Tensor plain = inner().forward(images_NCHW);
  if (is_training()) return plain;
  const at::Tensor mirrored = inner().forward(images_NCHW.flip({3}));
  const auto half = [&](const at::Tensor& logits, int64_t first) {
    const at::Tensor own = logits.narrow(1, first, num_classes_);
    return at::log_softmax(own.scalar_type() == at::kDouble ? own : own.to(at::kFloat), 1);
  };
  return at::logaddexp(half(plain, 0), half(mirrored, num_classes_));
}

}  // namespace baleen
