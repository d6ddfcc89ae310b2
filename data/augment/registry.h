#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/base/seeds.h"
#include "core/config/parameters.h"
#include "data/augment/augment.h"

namespace baleen {

/// An 8-bit image that may be written to: rows top to bottom, interleaved channels.
struct PixelBlock {
  uint8_t* pixels = nullptr;  ///< height × width × channels bytes
  int64_t height = 0;
  int64_t width = 0;
  int64_t channels = 0;

  uint8_t& at(int64_t y, int64_t x, int64_t c) const {
    return pixels[(y * width + x) * channels + c];
  }
};

/// Changes one training image in place, by draws from `random` alone, so that the result is a
/// function of (seed, epoch, sample id). Called on several threads at once.
using Augmentation = std::function<void(const PixelBlock& image, CounterRandom& random)>;

/// One augmentation that a recipe can name in `augment.custom`.
struct AugmentationInfo {
  std::string name;
  std::string description;
  Parameters parameters;  ///< every one that a recipe may set, with its default
};

/// An entry of `augment.custom`, ready for use.
struct AugmentationStep {
  std::string name;
  int64_t turn = 0;  ///< how often the name came before in the list
  Augmentation apply;
};

/// The augmentations that extensions add to the built-in ones, which have keys of their own.
class AugmentationRegistry {
 public:
  /// Finds every parameter of its AugmentationInfo in the argument.
  using Factory = std::function<Augmentation(const Parameters&)>;
  /// @throws Error kInternal when the name is taken.
  void add(AugmentationInfo info, Factory factory);
  /// @throws Error kConfiguration for an unknown name or parameter, naming the nearest and the
  /// known ones, and whatever the factory refuses.
  Augmentation create(const CustomAugmentOptions& options) const;
  /// The whole list of a stage.
  std::vector<AugmentationStep> create_all(const std::vector<CustomAugmentOptions>& options) const;
  /// In order of registration.
  const std::vector<AugmentationInfo>& list() const { return infos_; }

 private:
  std::vector<AugmentationInfo> infos_;
  std::vector<Factory> factories_;
};

}  // namespace baleen
