#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/config/parameters.h"
#include "core/losses/loss.h"

namespace baleen {

/// What a loss learns from, see Loss::sum().
enum class LossTargets {
  kClasses,  ///< one class per sample: int64 [N]
  kLabels,   ///< any number of labels per sample: float32 [N, K]
  kBoxes,    ///< a box per sample, in pixels of the network's input: float32 [N, 4]
  kMasks,    ///< 0 to 1 for each pixel of the network's input, row by row: float32 [N, H * W]
  kAny,
};

/// One loss that a recipe can name.
struct LossInfo {
  std::string name;
  std::string description;
  LossTargets targets = LossTargets::kAny;
  Parameters parameters;  ///< every one that `loss.parameters` may set, with its default
  /// Learns from shares of classes, float32 [N, K], too: what mixup makes of them. Losses of labels
  /// always do.
  bool takes_shares = false;
};

/// The losses a recipe can name. Filled by explicit calls.
class LossRegistry {
 public:
  /// Makes a loss for K outputs. Finds every parameter of its LossInfo in options.parameters.
  using Factory = std::function<std::unique_ptr<Loss>(const LossOptions&, int64_t num_outputs)>;
  /// @throws Error kInternal when the name is taken.
  void add(LossInfo info, Factory factory);
  /// @throws Error kConfiguration for an unknown name or parameter, naming the nearest and the
  /// known ones, and whatever the factory refuses.
  std::unique_ptr<Loss> create(const LossOptions& options, int64_t num_outputs) const;
  /// In order of registration.
  const std::vector<LossInfo>& list() const { return infos_; }
  /// @throws Error kConfiguration for an unknown name.
  const LossInfo& info(const std::string& name) const;
  /// Whether mixup may blend this loss's targets; true for an unknown name, which is reported
  /// elsewhere.
  bool takes_shares(const std::string& name) const;
  /// @throws Error kConfiguration when the loss learns from the other kind of targets, naming those
  /// that fit.
  void check_targets(const std::string& name, LossTargets have) const;

 private:
  std::vector<LossInfo> infos_;
  std::vector<Factory> factories_;
};

/// Adds the losses of this folder.
void register_losses(LossRegistry& registry);

}  // namespace baleen
