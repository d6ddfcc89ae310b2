#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "data/image/image.h"

namespace baleen {

// Letters: N key points of one image.

/// Where an image has key points, and what it looks like around them (SIFT, Lowe 2004).
struct LocalFeatures {
  at::Tensor points_N2;         ///< float32, x and y in the image's pixels
  at::Tensor descriptors_N128;  ///< uint8, as SIFT rounds them; none is all zero

  int64_t size() const { return points_N2.defined() ? points_N2.size(0) : 0; }
};

struct LocalFeatureOptions {
  int64_t most = 1000;  ///< key points that are kept, those of most contrast
  int64_t size_px = 0;  ///< images with a longer side than this are reduced to it; 0: none is
};

/// Key points of an image, the same on any machine with the same OpenCV.
/// @param mask grey, of any size: brighter than half is where key points may lie; null, or a mask
/// without such a pixel: anywhere
LocalFeatures find_local_features(const ImageView& image, const ImageView* mask,
                                  const LocalFeatureOptions& options);

/// RootSIFT (Arandjelović and Zisserman 2012): rows divided by their sum, then the square root of
/// each number, so that Euclidean distances compare histograms as they should be compared. float32
/// [N, D] of unit length; rows of zeros stay.
at::Tensor root_sift(const at::Tensor& descriptors_ND);

struct LocalMatchOptions {
  double ratio = 0.8;            ///< the nearest is to be nearer than this times the second nearest
  bool mutual = false;           ///< and nobody else nearer to it
  double reprojection_px = 5.0;  ///< an inlier lies so close to where the homography puts it
};

/// Key points of `a` that have a counterpart in `b` and lie in it as one plane seen from elsewhere
/// would: the inliers of the homography that RANSAC finds, with a fixed seed. 0 with fewer than
/// four counterparts, and for a homography that mirrors, folds or collapses the image.
int64_t count_inliers(const LocalFeatures& a, const LocalFeatures& b,
                      const LocalMatchOptions& options);

}  // namespace baleen
