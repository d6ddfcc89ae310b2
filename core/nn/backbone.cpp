#include "core/nn/backbone.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <utility>

#include "core/base/error.h"
#include "core/base/nearest.h"
#include "core/nn/coordinates.h"
#include "core/nn/gap_head.h"

namespace baleen {
namespace {

[[noreturn]] void throw_unknown(const std::string& name, const std::vector<BackboneInfo>& infos) {
  if (infos.empty()) {
    throw Error(ErrorKind::kInternal, "no backbone is registered",
                "call register_backbones() first");
  }
  std::vector<std::string> known;
  for (const BackboneInfo& info : infos) known.push_back(info.name);
  const std::string nearest = nearest_name(name, known);
  throw Error(ErrorKind::kConfiguration, fmt::format("unknown backbone '{}'", name),
              fmt::format("{}known backbones: {}",
                          nearest.empty() ? "" : fmt::format("did you mean '{}'? ", nearest),
                          fmt::join(known, ", ")));
}

size_t index_of(const std::string& name, const std::vector<BackboneInfo>& infos) {
  for (size_t i = 0; i < infos.size(); ++i) {
    if (infos[i].name == name) return i;
  }
  throw_unknown(name, infos);
}

/// Buffers that are no floating point, with their values.
std::vector<std::pair<at::Tensor, at::Tensor>> counters_of(const torch::nn::Module& network) {
  std::vector<std::pair<at::Tensor, at::Tensor>> counters;
  for (const at::Tensor& buffer : network.buffers()) {
    if (!buffer.is_floating_point()) counters.emplace_back(buffer, buffer.variable_data());
  }
  return counters;
}

}  // namespace

void Backbone::to(at::ScalarType dtype, bool non_blocking) {
  auto counters = counters_of(*this);
  Module::to(dtype, non_blocking);
  for (auto& [buffer, values] : counters) buffer.set_data(values);
}

void Backbone::to(at::Device device, at::ScalarType dtype, bool non_blocking) {
  Module::to(device, non_blocking);
  to(dtype, non_blocking);
}

at::Tensor Backbone::embedding(const at::Tensor& images_NCHW) {
  return at::adaptive_avg_pool2d(features(images_NCHW).back(), {1, 1}).flatten(1);
}

void BackboneRegistry::add(BackboneInfo info, Factory factory) {
  for (const BackboneInfo& other : infos_) {
    if (other.name == info.name) {
      throw Error(ErrorKind::kInternal,
                  fmt::format("backbone '{}' is registered twice", info.name));
    }
  }
  infos_.push_back(std::move(info));
  factories_.push_back(std::move(factory));
}

std::shared_ptr<Backbone> BackboneRegistry::create(const BackboneOptions& options) const {
  const size_t index = index_of(options.name, infos_);
  const auto refuse = [&](const std::string& message, const std::string& hint) {
    throw Error(ErrorKind::kConfiguration, fmt::format("backbone '{}': {}", options.name, message),
                hint);
  };
  if (options.num_outputs < 1) {
    refuse(fmt::format("num_outputs is {}", options.num_outputs),
           "a network needs at least one output");
  }
  if (options.in_channels != 1 && options.in_channels != 3 && options.in_channels != 4) {
    refuse(fmt::format("in_channels is {}", options.in_channels),
           "images have 1 (grey), 3 (colour) or 4 (colour and infra-red) channels");
  }
  if (!(options.dropout >= 0.0 && options.dropout < 1.0)) {
    refuse(fmt::format("dropout is {}", options.dropout), "give a probability in [0, 1)");
  }
  if (options.auxiliary && !infos_[index].has_auxiliary) {
    refuse("it has no auxiliary classifier", "leave out the backbone's key 'auxiliary'");
  }
  if (options.head != "linear" && options.head != "gap") {
    refuse(fmt::format("unknown head '{}'", options.head),
           "known heads: linear (the published one), gap (the means of all stages' maps)");
  }
  if (options.coordinate_radius && !options.coordinates)
    refuse("coordinate_radius is a channel beside x and y", "set coordinates, too");
  BackboneOptions inner = options;
  if (options.coordinates) inner.in_channels += num_coordinate_channels(options.coordinate_radius);
  if (options.head == "gap") inner.auxiliary = false;
  std::shared_ptr<Backbone> network = factories_[index](inner);
  if (options.coordinates)
    network = std::make_shared<CoordinateBackbone>(std::move(network), options.coordinate_radius);
  if (options.head == "gap") {
    network =
        std::make_shared<GapHeadBackbone>(std::move(network), options.num_outputs, options.dropout);
  }
  return network;
}

const BackboneInfo& BackboneRegistry::info(const std::string& name) const {
  return infos_[index_of(name, infos_)];
}

}  // namespace baleen
