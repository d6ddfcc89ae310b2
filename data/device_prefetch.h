#pragma once

#include <c10/core/Device.h>

#include <memory>

#include "core/training/batch_source.h"

namespace baleen {

/// The batches of `source`, copied to `device` on a thread and a stream of their own, at most two
/// ahead, so that copies run beside the training step. Whoever takes a batch may use it on the
/// current stream at once.
///
/// Batches should be page-locked (ImageFeedOptions::pin). For the processor itself it only hands
/// batches through. Content, order and errors are those of the source.
std::unique_ptr<BatchSource> prefetch_to_device(std::unique_ptr<BatchSource> source,
                                                c10::Device device);

}  // namespace baleen
