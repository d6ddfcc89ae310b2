#pragma once

#include "data/pack/options.h"
#include "data/pack/sources.h"

namespace baleen {

/// Applies the lists that go with a dataset: exclude_file takes samples out, rotate_file marks
/// those that are upside down, boxes.file gives the boxes to cut. Ids that no sample has, and
/// images without a usable box, become notes.
/// @throws Error kData naming file and line of a box that is no box or of a repeated id, or when
/// nothing is left.
void apply_lists(const PackOptions& options, SourceList& list);

}  // namespace baleen
