#include "core/weights/state.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>
#include <utility>

#include "core/base/error.h"

namespace baleen {
namespace {

/// The network's own tensors, in order.
NamedTensors tensors_of(const torch::nn::Module& network) {
  NamedTensors all;
  for (const auto& item : network.named_parameters()) all.emplace_back(item.key(), item.value());
  for (const auto& item : network.named_buffers()) all.emplace_back(item.key(), item.value());
  return all;
}

std::string shape_text(const at::Tensor& tensor) {
  return tensor.dim() == 0 ? "a scalar" : fmt::format("{}", fmt::join(tensor.sizes(), "x"));
}

/// "a, b, c and 7 more"
std::string listed(const std::vector<std::string>& names) {
  constexpr size_t kMost = 5;
  const size_t shown = std::min(names.size(), kMost);
  std::string text = fmt::format(
      "{}", fmt::join(names.begin(), names.begin() + static_cast<ptrdiff_t>(shown), ", "));
  if (names.size() > shown) text += fmt::format(" and {} more", names.size() - shown);
  return text;
}

}  // namespace

NamedTensors state_of(const torch::nn::Module& network) {
  NamedTensors copies;
  for (const auto& [name, tensor] : tensors_of(network)) {
    const at::Tensor here = tensor.detach().to(at::kCPU);
    const bool shared = here.is_alias_of(tensor);
    const at::Tensor packed = here.contiguous();
    copies.emplace_back(name, shared && packed.is_alias_of(here) ? packed.clone() : packed);
  }
  return copies;
}

std::string LoadReport::summary() const {
  std::string text = fmt::format("{} tensors loaded", loaded.size());
  if (!missing.empty()) text += fmt::format("; missing: {}", listed(missing));
  if (!unexpected.empty()) text += fmt::format("; unexpected: {}", listed(unexpected));
  if (!mismatched.empty()) text += fmt::format("; of another shape: {}", listed(mismatched));
  if (head_is_fresh) text += "; the head starts fresh";
  return text;
}

LoadReport load_state(torch::nn::Module& network, const NamedTensors& tensors,
                      const std::string& source, const LoadOptions& options) {
  std::map<std::string, at::Tensor> given(tensors.begin(), tensors.end());
  const std::string head_prefix = options.head_name + ".";
  const auto in_head = [&](const std::string& name) {
    return !options.head_name.empty() && name.starts_with(head_prefix);
  };

  LoadReport report;
  std::vector<std::pair<at::Tensor, at::Tensor>> copies;
  bool refused = false;
  for (const auto& [name, tensor] : tensors_of(network)) {
    const auto found = given.find(name);
    if (found == given.end()) {
      report.missing.push_back(name);
      report.head_is_fresh |= in_head(name);
      refused |= !in_head(name) && !options.allow_missing;
      continue;
    }
    if (found->second.sizes() != tensor.sizes()) {
      report.mismatched.push_back(fmt::format("{}: {} in the file, {} here", name,
                                              shape_text(found->second), shape_text(tensor)));
      report.head_is_fresh |= in_head(name);
      refused |= !in_head(name);
    } else {
      report.loaded.push_back(name);
      copies.emplace_back(tensor, found->second);
    }
    given.erase(found);
  }
  for (const auto& [name, tensor] : given) {
    report.unexpected.push_back(name);
    refused |= !in_head(name) && !options.allow_unexpected;
  }
  if (refused) {
    throw Error(
        ErrorKind::kData,
        fmt::format("the weights of {} do not fit the network: {}", source, report.summary()),
        "check that the file was written for this backbone and number of channels");
  }

  at::NoGradGuard no_grad;
  for (auto& [target, value] : copies) target.copy_(value);
  return report;
}

}  // namespace baleen
