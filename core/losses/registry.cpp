#include "core/losses/registry.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <utility>

#include "core/base/error.h"
#include "core/base/nearest.h"
#include "core/losses/box_loss.h"
#include "core/losses/mask_loss.h"
#include "core/losses/terms.h"

namespace baleen {
namespace {

[[noreturn]] void refuse(std::string message, std::string hint) {
  throw Error(ErrorKind::kConfiguration, std::move(message), std::move(hint));
}

std::unique_ptr<Loss> make_bce(const LossOptions& options, int64_t num_outputs) {
  const std::vector<double>& weights = options.pos_weight;
  if (weights.empty()) return std::make_unique<BinaryCrossEntropy>(at::Tensor());
  if (weights.size() != 1 && static_cast<int64_t>(weights.size()) != num_outputs) {
    refuse(fmt::format("pos_weight has {} values for {} labels", weights.size(), num_outputs),
           "give one value for all labels, or one per label in the dataset's order");
  }
  for (double weight : weights) {
    if (!(weight > 0.0))
      refuse(fmt::format("pos_weight holds {}", weight), "weights must be above 0");
  }
  return std::make_unique<BinaryCrossEntropy>(at::tensor(weights, at::kDouble));
}

std::unique_ptr<Loss> make_f2(const LossOptions& options, int64_t num_outputs,
                              std::unique_ptr<Loss> bce) {
  const double weight = bce ? options.f2_weight : 1.0;
  std::vector<LossSum::Part> parts;
  if (bce) parts.push_back({1.0, std::move(bce)});
  std::unique_ptr<BatchTerm> term;
  if (options.f2_variant == "per_sample") {
    parts.push_back({weight, std::make_unique<SampleSoftF2>(options.f2_epsilon)});
  } else if (options.f2_variant == "per_label") {
    term = std::make_unique<BatchSoftF2>(num_outputs, options.f2_epsilon, weight);
  } else if (options.f2_variant == "global") {
    term = std::make_unique<BatchSoftF2>(1, options.f2_epsilon, weight);
  } else {
    refuse(fmt::format("unknown f2_variant '{}'", options.f2_variant),
           "known: per_sample, per_label, global");
  }
  return std::make_unique<LossSum>(std::move(parts), std::move(term));
}

std::vector<std::string> names_of(const std::vector<LossInfo>& infos) {
  std::vector<std::string> names;
  for (const LossInfo& info : infos) names.push_back(info.name);
  return names;
}

/// Keys of one built-in loss mean nothing to another: given there, they are a mistake.
void check_keys(const LossOptions& options) {
  if (options.kind != "bce" && options.kind != "bce_soft_f2" && !options.pos_weight.empty()) {
    refuse(fmt::format("pos_weight is given for the loss '{}'", options.kind),
           "it belongs to bce and bce_soft_f2");
  }
  if (options.kind != "cross_entropy" && options.label_smoothing != 0.0) {
    refuse(fmt::format("label_smoothing is given for the loss '{}'", options.kind),
           "it belongs to cross_entropy");
  }
}

}  // namespace

void LossRegistry::add(LossInfo info, Factory factory) {
  for (const LossInfo& other : infos_) {
    if (other.name == info.name)
      throw Error(ErrorKind::kInternal, fmt::format("loss '{}' is registered twice", info.name));
  }
  infos_.push_back(std::move(info));
  factories_.push_back(std::move(factory));
}

std::unique_ptr<Loss> LossRegistry::create(const LossOptions& options, int64_t num_outputs) const {
  const LossInfo& found = info(options.kind);
  check_keys(options);
  LossOptions complete = options;
  complete.parameters = complete_parameters(fmt::format("the loss '{}'", found.name),
                                            found.parameters, options.parameters);
  return factories_[static_cast<size_t>(&found - infos_.data())](complete, num_outputs);
}

const LossInfo& LossRegistry::info(const std::string& name) const {
  for (const LossInfo& info : infos_) {
    if (info.name == name) return info;
  }
  const std::vector<std::string> known = names_of(infos_);
  const std::string nearest = nearest_name(name, known);
  refuse(
      fmt::format("unknown loss '{}'", name),
      fmt::format("{}known: {}", nearest.empty() ? "" : fmt::format("did you mean '{}'? ", nearest),
                  fmt::join(known, ", ")));
}

bool LossRegistry::takes_shares(const std::string& name) const {
  for (const LossInfo& info : infos_) {
    if (info.name == name) return info.takes_shares || info.targets == LossTargets::kLabels;
  }
  return true;
}

void LossRegistry::check_targets(const std::string& name, LossTargets have) const {
  const LossTargets wanted = info(name).targets;
  if (wanted == LossTargets::kAny || wanted == have) return;
  std::vector<std::string> fitting;
  for (const LossInfo& other : infos_) {
    if (other.targets == LossTargets::kAny || other.targets == have) fitting.push_back(other.name);
  }
  const char* targets = have == LossTargets::kClasses  ? "one class per sample"
                        : have == LossTargets::kLabels ? "any number of labels per sample"
                        : have == LossTargets::kBoxes  ? "a box per sample"
                                                       : "a mask per sample";
  refuse(fmt::format("the loss '{}' does not fit data with {}", name, targets),
         fmt::format("take {}", fmt::join(fitting, " or ")));
}

void register_losses(LossRegistry& registry) {
  registry.add({"bce", "binary cross-entropy per label", LossTargets::kLabels, {}}, make_bce);
  registry.add({.name = "cross_entropy",
                .description = "softmax cross-entropy of one class",
                .targets = LossTargets::kClasses,
                .takes_shares = true},
               [](const LossOptions& options, int64_t) {
                 return std::make_unique<CrossEntropy>(options.label_smoothing);
               });
  registry.add({"soft_f2", "1 - F2 of the probabilities", LossTargets::kLabels, {}},
               [](const LossOptions& options, int64_t num_outputs) {
                 return make_f2(options, num_outputs, nullptr);
               });
  registry.add({"bce_soft_f2", "bce + f2_weight * soft_f2", LossTargets::kLabels, {}},
               [](const LossOptions& options, int64_t num_outputs) {
                 return make_f2(options, num_outputs, make_bce(options, num_outputs));
               });
  registry.add(
      {"box_mse", "mean squared error of a box's four coordinates", LossTargets::kBoxes, {}},
      [](const LossOptions&, int64_t num_outputs) {
        return std::make_unique<BoxSquaredError>(num_outputs);
      });
  registry.add({"bce_dice",
                "binary cross-entropy of each pixel + weight * (1 - Dice of the image)",
                LossTargets::kMasks,
                {{"weight", 1.0}}},
               [](const LossOptions& options, int64_t) {
                 return std::make_unique<CrossEntropyDice>(options.parameters.at("weight"));
               });
}

std::unique_ptr<Loss> make_loss(const LossOptions& options, int64_t num_outputs) {
  LossRegistry registry;
  register_losses(registry);
  return registry.create(options, num_outputs);
}

}  // namespace baleen
