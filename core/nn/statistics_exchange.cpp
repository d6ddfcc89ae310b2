#include "core/nn/statistics_exchange.h"

#include <ATen/ATen.h>

namespace baleen {

at::Tensor sum_in_order(const at::Tensor& rows_VK) {
  at::Tensor totals = at::zeros({rows_VK.size(1)}, rows_VK.options());
  for (int64_t row = 0; row < rows_VK.size(0); ++row) totals.add_(rows_VK[row]);
  return totals;
}

}  // namespace baleen
