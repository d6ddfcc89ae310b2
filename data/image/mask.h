#pragma once

#include "data/image/image.h"

namespace baleen {

/// Fills everything but the subject with the image's mean colour.
/// @param mask grey, of any size: it is brought to the image's. Brighter than half: the subject. A
///             mask without subject, or without background, changes nothing.
/// @returns whether anything was changed
bool fill_background(Image& image, const ImageView& mask);

}  // namespace baleen
