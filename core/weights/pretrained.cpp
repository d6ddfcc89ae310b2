#include "core/weights/pretrained.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <map>

#include "core/base/error.h"
#include "core/weights/key_names.h"
#include "core/weights/safetensors.h"

namespace baleen {
namespace {

/// Torchvision's name for Inception's second classifier.
constexpr const char* kAuxiliary = "AuxLogits";

std::vector<int64_t> without_ones(at::IntArrayRef sizes) {
  std::vector<int64_t> rest;
  for (int64_t size : sizes) {
    if (size != 1) rest.push_back(size);
  }
  return rest;
}

}  // namespace

LoadReport load_pretrained(Backbone& network, const std::filesystem::path& file,
                           const PretrainedOptions& options) {
  const SafetensorsFile weights(file);
  std::map<std::string, at::Tensor> own;
  for (const auto& item : network.named_parameters()) own.emplace(item.key(), item.value());
  for (const auto& item : network.named_buffers()) own.emplace(item.key(), item.value());
  std::vector<std::string> names;
  for (const auto& [name, tensor] : own) names.push_back(name);

  MappedNames mapped =
      with_context([&] { return "reading the weights of " + file.string(); },
                   [&] { return map_key_names(weights.tensors(), names, network.head_name()); });
  const std::string stem = network.stem_name() + ".weight";
  int64_t num_reshaped = 0;
  for (auto& [name, tensor] : mapped.tensors) {
    const auto found = own.find(name);
    if (found == own.end()) continue;
    const at::Tensor& target = found->second;
    if (name == stem) {
      const int64_t coordinates = target.size(1) - options.in_channels;
      const auto entry = weights.metadata().find("coordinates");
      AdaptedStem adapted =
          adapt_stem(tensor, {options.in_channels, coordinates}, options.grey_stem,
                     entry != weights.metadata().end() && entry->second == "true");
      tensor = adapted.weight_OIHW;
      if (!adapted.note.empty()) mapped.notes.push_back(adapted.note);
    } else if (tensor.sizes() != target.sizes() &&
               without_ones(tensor.sizes()) == without_ones(target.sizes())) {
      tensor = tensor.reshape(target.sizes());
      ++num_reshaped;
    }
  }
  if (num_reshaped > 0) {
    mapped.notes.push_back(
        fmt::format("dimensions of size 1 were added or left out in {} tensors", num_reshaped));
  }
  LoadReport report = load_state(network, mapped.tensors, file.string(),
                                 {.head_name = network.head_name(),
                                  .optional_modules = {kAuxiliary},
                                  .counters_may_be_missing = true});
  report.notes = std::move(mapped.notes);
  return report;
}

}  // namespace baleen
