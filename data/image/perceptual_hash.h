#pragma once

#include <cstdint>
#include <string>

#include "data/packed_dataset.h"

namespace baleen {

/// Two ways to 64 bits, which can't be compared with each other.
enum class PerceptualHash {
  kMedian,  ///< bits of `phash` of the Python package ImageHash: coefficients above their median
  kMean,    ///< bits of PHash of OpenCV's module img_hash: coefficients above their mean, DC left
            ///< out
};

/// @throws Error kConfiguration for a name other than "median" and "mean".
PerceptualHash perceptual_hash_from_name(const std::string& name);

/// What an image looks like, in 64 bits: the signs of its 8 × 8 slowest cosine waves after
/// shrinking to 32 × 32 grey pixels. Re-encoded or resized copies of a picture differ in a few bits
/// at most.
///
/// Waves that vanish but for rounding, as half of them do in a symmetric image, count as exactly
/// zero, so that the hash is the same on every machine. An image of one colour has nothing but its
/// DC term: all of them look alike to a hash.
///
/// Printed with "{:016x}" it is the text of ImageHash, or OpenCV's eight bytes in their order.
uint64_t perceptual_hash(const ImageView& image, PerceptualHash kind);

/// Bits in which two hashes differ.
int hash_distance(uint64_t a, uint64_t b);

}  // namespace baleen
