#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "core/losses/loss.h"
#include "core/nn/backbone.h"
#include "core/training/batch_source.h"
#include "core/training/precision.h"

namespace baleen {

/// One way of looking at a batch at test time, e.g. mirrored: a new tensor of the same shape. [N,
/// C, H, W] → [N, C, H, W]
using View = std::function<at::Tensor(const at::Tensor& images_NCHW)>;

/// Predicts every batch of `source` once and hands (rows, probabilities [N, K] float32 on the CPU)
/// to `sink`, in order.
///
/// Probabilities are the mean over `views` (none: the images themselves), computed in evaluation
/// mode. The result of a batch depends on its images and its size only, so that fixed chunks give
/// the same bits on any number of ranks. Not collective. The network is back in the mode it was in
/// when this returns or throws.
/// @param stop polled between chunks; true ends the prediction with Error kInterrupted; may be
/// empty
/// @throws Error kNumeric naming the first row whose prediction is not finite.
void predict(Backbone& network, const Loss& loss, BatchSource& source, Precision precision,
             const std::vector<View>& views,
             const std::function<void(const std::vector<int64_t>& rows,
                                      const at::Tensor& probabilities_NK)>& sink,
             const std::function<bool()>& stop = {});

}  // namespace baleen
