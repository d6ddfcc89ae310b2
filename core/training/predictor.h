#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "core/losses/loss.h"
#include "core/nn/backbone.h"
#include "core/training/batch_source.h"
#include "core/training/precision.h"
#include "core/training/view_fusion.h"

namespace baleen {

/// One way of looking at a batch at test time, e.g. mirrored: a new tensor of the same shape. [N,
/// C, H, W] → [N, C, H, W]
using View = std::function<at::Tensor(const at::Tensor& images_NCHW)>;

/// One of the sources of a prediction: the same samples in the same chunks as the others, for
/// instance at another size.
struct LookSource {
  BatchSource* source = nullptr;
  std::vector<View> views;  ///< of the images themselves (Batch::pass 0); empty: they alone
};

/// Predicts every chunk of the sources once and hands (rows, probabilities [N, K] float32 on the
/// CPU) to `sink`, in order.
///
/// A chunk is looked at in all views of all sources, and once in each of a source's random passes;
/// `fusion` makes one prediction of these, in evaluation mode. The result of a batch depends on its
/// images and its size only, so that fixed chunks give the same bits on any number of ranks. Not
/// collective. The network is back in the mode it was in when this returns or throws.
/// @param stop polled before each look; true ends the prediction with Error kInterrupted; may be
/// empty
/// @throws Error kNumeric naming the first row whose prediction is not finite.
void predict(Backbone& network, const Loss& loss, std::span<const LookSource> sources,
             Fusion fusion, Precision precision,
             const std::function<void(const std::vector<int64_t>& rows,
                                      const at::Tensor& probabilities_NK)>& sink,
             const std::function<bool()>& stop = {});

/// The same for one source, by the mean.
void predict(Backbone& network, const Loss& loss, BatchSource& source, Precision precision,
             const std::vector<View>& views,
             const std::function<void(const std::vector<int64_t>& rows,
                                      const at::Tensor& probabilities_NK)>& sink,
             const std::function<bool()>& stop = {});

}  // namespace baleen
