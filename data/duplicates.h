#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/config/field.h"
#include "data/image/image.h"
#include "data/image/perceptual_hash.h"

namespace baleen {

/// When two images count as the same picture.
struct DuplicateOptions {
  bool group = false;
  std::string hash = "median";
  int64_t max_distance = 6;
  double max_error = 0.1;
};

template <class Visitor>
void visit_fields(Visitor& v, DuplicateOptions& o) {
  v.field("group", o.group,
          "images of the same picture become one group, joined with those of group_column: folds "
          "and hold_out never separate them. Every image is decoded once more");
  v.field("hash", o.hash,
          "perceptual hash: median (bits of ImageHash's phash) or mean (bits of OpenCV's PHash)",
          config::one_of({"median", "mean"}));
  v.field("max_distance", o.max_distance,
          "most bits, of 64, in which the hashes of two images of one size differ; images of "
          "different sizes must agree in all",
          config::between(0, 16));
  v.field("max_error", o.max_error,
          "largest mean squared difference of the grey pixels, brought to mean 0 and variance 1: "
          "twice what the correlation lacks to 1",
          config::between(0, 2));
}

/// What is known of an image without its pixels.
struct ImageSignature {
  uint64_t hash = 0;
  int64_t height = 0;  ///< before packing
  int64_t width = 0;
  double mean = 0;       ///< of the grey pixels
  double deviation = 0;  ///< of the grey pixels; below one level the image is flat
};

/// @param height_px, width_px size before packing, where that is known
ImageSignature signature_of(const ImageView& image, PerceptualHash kind, int64_t height_px,
                            int64_t width_px);

/// Mean squared difference of two images' grey pixels, each brought to mean 0 and variance 1; the
/// larger image is shrunk to the smaller one's size first. 0: alike, 2: unrelated, 4: opposite.
double picture_error(const ImageView& a, const ImageView& b);

/// Images to be compared: signatures, and a way to their pixels that any thread may use.
struct ImageCollection {
  std::vector<std::optional<ImageSignature>> signatures;  ///< empty: unreadable, like no other
  std::function<Image(size_t index)> read;
};

/// Two images of the same picture.
struct DuplicatePair {
  size_t first = 0;   ///< in the first collection
  size_t second = 0;  ///< in the second
  int distance = 0;   ///< bits in which the hashes differ
  double error = 0;   ///< picture_error; 0 for flat images
};

/// All pairs of hashes, by index, that differ in at most max_distance bits; within one list (first
/// < second) when `b` is null. Hashes of a list are distinct. The 64 bits are cut into max_distance
/// + 1 bands: of those at least one must be equal, so that only hashes with an equal band are
/// compared.
std::vector<std::pair<size_t, size_t>> near_hashes(std::span<const uint64_t> a,
                                                   const std::vector<uint64_t>* b,
                                                   int64_t max_distance);

/// Groups of images that show the same picture, directly or by way of others, each ascending;
/// images on their own are left out. Two images are linked if their hashes are equal, or nearly so
/// where the images are of one size, and picture_error is small. Flat images, which all have one
/// hash, are linked if their size and grey level are equal. Does not depend on the number of
/// threads.
std::vector<std::vector<size_t>> duplicate_groups(const ImageCollection& images,
                                                  const DuplicateOptions& options,
                                                  int64_t num_threads);

/// All pairs of the same picture between two collections, by the same rule, in ascending order.
std::vector<DuplicatePair> duplicates_between(const ImageCollection& a, const ImageCollection& b,
                                              const DuplicateOptions& options, int64_t num_threads);

/// Sets of numbers that grow together.
class UnionFind {
 public:
  explicit UnionFind(size_t count);
  /// The smallest member of the set.
  size_t find(size_t i);
  void unite(size_t a, size_t b);
  /// Sets of at least two members, each ascending, in the order of their smallest.
  std::vector<std::vector<size_t>> groups();

 private:
  std::vector<size_t> parents_;
};

}  // namespace baleen
