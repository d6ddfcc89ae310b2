#pragma once

#include <cstdint>
#include <functional>

#include "data/pack/options.h"
#include "data/pack/sources.h"

namespace baleen {

/// Gives samples that show the same picture one group, as options.duplicates says when that is.
/// Groups that the samples have already are joined with it: whatever hangs together, by a group or
/// by a picture, directly or by way of others, ends in one group. A note says how much was found,
/// and how many of the pictures carry different labels. Images that can't be read are left alone.
/// @param stop_requested polled; may be empty
/// @throws Error kInterrupted.
void group_duplicates(const PackOptions& options, const std::function<bool()>& stop_requested,
                      int64_t num_threads, SourceList& list);

}  // namespace baleen
