#include "core/weights/state.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <utility>

#include "core/base/error.h"
#include "core/base/nearest.h"

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

/// "; nearest here: 'norm1.weight' for 'norm_1.weight'": for the first names that the network
/// lacks.
std::string nearest_text(const std::vector<std::string>& unexpected,
                         const std::vector<std::string>& lacking) {
  constexpr size_t kMost = 3;
  std::string text;
  for (size_t i = 0; i < std::min(unexpected.size(), kMost); ++i) {
    const std::string* nearest = nullptr;
    int64_t least = 0;
    for (const std::string& name : lacking) {
      const int64_t distance = edit_distance(unexpected[i], name);
      if (!nearest || distance < least) {
        nearest = &name;
        least = distance;
      }
    }
    if (!nearest) return "";
    text += fmt::format("{} '{}' for '{}'", i == 0 ? "; nearest here:" : ",", *nearest,
                        unexpected[i].substr(0, 120));
  }
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
  for (const std::string& note : notes) text += "; " + note;
  if (num_missing_counters > 0)
    text += fmt::format("; the file has none of {} batch counters", num_missing_counters);
  if (!missing.empty()) text += fmt::format("; missing: {}", listed(missing));
  if (!unexpected.empty()) text += fmt::format("; unexpected: {}", listed(unexpected));
  if (!mismatched.empty()) text += fmt::format("; of another shape: {}", listed(mismatched));
  if (head_is_fresh) text += "; the head starts fresh";
  for (const std::string& module : fresh_modules) text += fmt::format("; {} starts fresh", module);
  return text;
}

LoadReport load_state(torch::nn::Module& network, const NamedTensors& tensors,
                      const std::string& source, const LoadOptions& options) {
  std::map<std::string, at::Tensor> given(tensors.begin(), tensors.end());
  const auto in_module = [](const std::string& name, const std::string& module) {
    return !module.empty() && name.size() > module.size() && name.starts_with(module) &&
           name[module.size()] == '.';
  };
  LoadReport report;
  /// Whether the tensor need not fit; says so in the report where the network has it.
  const auto may_differ = [&](const std::string& name, bool here) {
    if (in_module(name, options.head_name)) {
      report.head_is_fresh |= here;
      return true;
    }
    for (const std::string& module : options.optional_modules) {
      if (!in_module(name, module)) continue;
      auto& fresh = report.fresh_modules;
      if (here && std::find(fresh.begin(), fresh.end(), module) == fresh.end())
        fresh.push_back(module);
      return true;
    }
    return false;
  };

  std::vector<std::pair<at::Tensor, at::Tensor>> copies;
  std::vector<std::string> lacking;  // names of the network that nothing was found for
  bool refused = false;
  for (const auto& [name, tensor] : tensors_of(network)) {
    const auto found = given.find(name);
    if (found == given.end()) {
      if (options.counters_may_be_missing && name.ends_with(".num_batches_tracked")) {
        ++report.num_missing_counters;
        continue;
      }
      report.missing.push_back(name);
      lacking.push_back(name);
      refused |= !may_differ(name, /*here=*/true) && !options.allow_missing;
      continue;
    }
    const at::Tensor& value = found->second;
    if (value.sizes() != tensor.sizes()) {
      report.mismatched.push_back(
          fmt::format("{}: {} in the file, {} here", name, shape_text(value), shape_text(tensor)));
      refused |= !may_differ(name, /*here=*/true);
    } else if (tensor.is_floating_point() && !value.is_floating_point() && tensor.dim() > 0) {
      // Quantised weights need their scales, which only the program that made them knows. Scalars
      // are counters, which become floating-point with a network that is converted as a whole.
      report.mismatched.push_back(fmt::format("{}: {} in the file, {} here", name,
                                              c10::toString(value.scalar_type()),
                                              c10::toString(tensor.scalar_type())));
      refused = true;
    } else {
      report.loaded.push_back(name);
      copies.emplace_back(tensor, value);
    }
    given.erase(found);
  }
  for (const auto& [name, tensor] : given) {
    report.unexpected.push_back(name);
    refused |= !may_differ(name, /*here=*/false) && !options.allow_unexpected;
  }
  if (report.loaded.empty() && report.mismatched.empty() && !lacking.empty()) {
    throw Error(ErrorKind::kData,
                fmt::format("no tensor of {} has a name of this network: it holds {}; the network "
                            "has {}{}",
                            source, given.empty() ? "nothing" : listed(report.unexpected),
                            listed(lacking), nearest_text(report.unexpected, lacking)),
                "check that the file was written for this backbone");
  }
  if (refused) {
    throw Error(ErrorKind::kData,
                fmt::format("the weights of {} do not fit the network: {}{}", source,
                            report.summary(), nearest_text(report.unexpected, lacking)),
                "check that the file was written for this backbone and number of channels");
  }

  at::NoGradGuard no_grad;
  for (auto& [target, value] : copies) target.copy_(value);
  return report;
}

}  // namespace baleen
