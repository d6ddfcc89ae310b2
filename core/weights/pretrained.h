#pragma once

#include <filesystem>
#include <string>

#include "core/nn/backbone.h"
#include "core/weights/state.h"
#include "core/weights/stem.h"

namespace baleen {

struct PretrainedOptions {
  int64_t in_channels = 3;  ///< of the images, without coordinates
  GreyStem grey_stem = GreyStem::kLuma;
};

/// Starts a network from published weights, by name: safetensors as `launch/convert_weights.py`
/// makes them of a .pth, as torchvision and timm publish them, or as `baleen export` writes them.
///
/// Names are mapped (core/weights/key_names.h), the stem is adapted to the images' channels
/// (core/weights/stem.h), dimensions of size 1 may be more or fewer. Three things need not fit: the
/// head, which stays fresh where its size differs; an auxiliary classifier (`AuxLogits`), on either
/// side; and `num_batches_tracked`, which files from before 2018 lack. The report says what was
/// done.
/// @throws Error kData naming the file, and names that are missing, unexpected or of another shape
/// with the nearest ones here; nothing is changed then. kStorage where the file can't be read.
LoadReport load_pretrained(Backbone& network, const std::filesystem::path& file,
                           const PretrainedOptions& options = {});

}  // namespace baleen
