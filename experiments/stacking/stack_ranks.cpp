#include "experiments/stacking/stack_ranks.h"

#include <ATen/ATen.h>

#include <cstring>

namespace baleen {
namespace {

std::string bytes_of(const at::Tensor& numbers) {
  return {reinterpret_cast<const char*>(numbers.const_data_ptr<double>()), numbers.nbytes()};
}

}  // namespace

void StackRanks::add_up(const std::vector<at::Tensor>& tensors) const {
  if (alone() || tensors.empty()) return;
  std::string here;
  for (const at::Tensor& tensor : tensors) here += bytes_of(tensor);
  const std::vector<std::string> all = group_->all_gather(here);
  size_t place = 0;
  for (const at::Tensor& tensor : tensors) {
    double* sum = tensor.data_ptr<double>();
    const auto count = static_cast<size_t>(tensor.numel());
    for (size_t r = 0; r < all.size(); ++r) {
      for (size_t i = 0; i < count; ++i) {
        double value = 0;
        std::memcpy(&value, all[r].data() + (place + i) * sizeof(double), sizeof(double));
        sum[i] = r == 0 ? value : sum[i] + value;
      }
    }
    place += count;
  }
}

std::vector<at::Tensor> StackRanks::gather(const at::Tensor& numbers) const {
  if (alone()) return {numbers.flatten()};
  std::vector<at::Tensor> result;
  for (const std::string& bytes : group_->all_gather(bytes_of(numbers.contiguous()))) {
    at::Tensor& part = result.emplace_back(
        at::empty({static_cast<int64_t>(bytes.size() / sizeof(double))}, at::kDouble));
    if (!bytes.empty()) std::memcpy(part.data_ptr<double>(), bytes.data(), bytes.size());
  }
  return result;
}

}  // namespace baleen
