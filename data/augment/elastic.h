#pragma once

#include <cstdint>
#include <vector>

namespace baleen {

/// One elastic distortion (Simard et al. 2003): a field of U(-1, 1) on a square grid, smoothed by a
/// Gaussian, times alpha.
///
/// The grid has 4 / sigma points a side whatever the image's size, so that the smoothing's standard
/// deviation is 4 grid points; the field is enlarged bilinearly to the image, and alpha and sigma
/// are parts of the side. The distortion therefore looks the same and costs the same in every
/// stage. For images of 4 / sigma pixels it is Simard's, pixel by pixel.
struct ElasticDraw {
  double alpha = 0;  ///< 0: no distortion
  double sigma = 0.0625;
  uint64_t seed = 0;
};

/// G, the points of a side of the grid.
int64_t elastic_grid(double sigma);

/// The smoothing of one axis as scipy's gaussian_filter1d does it (radius of 4 deviations, border
/// mirrored with the edge repeated): 2·radius + 1 weights.
std::vector<float> elastic_kernel(double sigma);

/// The index that a mirrored border stands for, in [0, n): -1 → 0, -2 → 1, n → n - 1, and so on.
constexpr int64_t mirrored(int64_t i, int64_t n) {
  const int64_t period = 2 * n;
  const int64_t folded = ((i % period) + period) % period;
  return folded < n ? folded : period - 1 - folded;
}

/// Displacements of all pixels, and the memory they are made in.
struct ElasticField {
  std::vector<float> dy;  ///< size_px², in pixels
  std::vector<float> dx;
  std::vector<float> grid;
  std::vector<float> smoothed;
  std::vector<float> line;
};

/// Fills dy and dx for an image of size_px × size_px.
void make_elastic_field(const ElasticDraw& draw, int64_t size_px, ElasticField& field);

}  // namespace baleen
