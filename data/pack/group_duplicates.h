#pragma once

#include <cstdint>
#include <functional>

#include "data/pack/options.h"
#include "data/pack/sources.h"
#include "data/pack/team.h"

namespace baleen {

/// Gives samples that show the same picture one group, as options.duplicates says when that is.
/// Groups that the samples have already are joined with it: whatever hangs together, by a group or
/// by a picture, directly or by way of others, ends in one group. A note says how much was found,
/// and how many of the pictures carry different labels. Images that can't be read are left alone.
/// [collective over the team] The processes share the decoding; all get the same groups.
/// @param stop_requested polled; may be empty
/// @throws Error kInterrupted; PeerFailed where another process has failed.
void group_duplicates(const PackOptions& options, const PackTeam& team,
                      const std::function<bool()>& stop_requested, int64_t num_threads,
                      SourceList& list);

}  // namespace baleen
