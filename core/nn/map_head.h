#pragma once

#include <vector>

#include "core/nn/backbone.h"

namespace baleen {

/// Networks that make something else of their maps than a linear layer on the average of the last.
class MapHead {
 public:
  virtual ~MapHead() = default;
  /// Logits [N, K] from maps as features() returns them: in evaluation mode what forward() gives.
  virtual at::Tensor logits_of(const std::vector<at::Tensor>& maps) = 0;
};

/// The largest value of each channel, [N, C]. Its gradient goes to the first of equals, as that of
/// pooling does.
at::Tensor global_maximum(const at::Tensor& map_NCHW);

/// Logits [N, K] from a network's maps: by its MapHead where it is one, else its head applied to
/// the global average of the last map. For those who want gradients with respect to the maps.
/// @throws Error kConfiguration where the head is neither.
at::Tensor logits_of_maps(Backbone& network, const std::vector<at::Tensor>& maps);

}  // namespace baleen
