#pragma once

#include <cstddef>
#include <vector>

#include "data/pack/options.h"
#include "data/pack/sources.h"

namespace baleen {

/// Appends copies of the smaller classes' samples to the list, until each class has as many among
/// `samples` as the largest, as options.balance asks; the copies' indices are appended to
/// `samples`.
///
/// The first symmetry is used for as many images as needed, then the second, and so on; which
/// images come first is a pure function of ids and seed. A copy carries its original's class and
/// group; an original without a group gets one, so that nothing ever separates the two. Classes
/// that run out of symmetries, and classes without any sample, stay smaller, with a note.
/// @throws Error kData when a copy's id is taken.
void add_balancing_copies(const PackOptions& options, SourceList& list,
                          std::vector<size_t>& samples);

}  // namespace baleen
