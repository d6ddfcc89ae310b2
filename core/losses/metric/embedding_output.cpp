#include "core/losses/metric/embedding_output.h"

#include <ATen/ATen.h>

#include "core/base/error.h"
#include "core/losses/metric/slices.h"

namespace baleen {

at::Tensor EmbeddingOutput::sum(const at::Tensor&, const at::Tensor&) const {
  throw Error(ErrorKind::kInternal, "an embedding has no loss of its own");
}

at::Tensor EmbeddingOutput::probabilities(const at::Tensor& outputs_ND) const {
  const bool wide = outputs_ND.scalar_type() == at::kDouble;
  const at::Tensor outputs = wide ? outputs_ND : outputs_ND.to(at::kFloat);
  return num_slices_ > 0 ? unit_slices(outputs, num_slices_) : outputs;
}

}  // namespace baleen
