#pragma once

#include <array>
#include <cstdint>

namespace baleen {

/// A 3 × 3 matrix of homogeneous coordinates; first row and column: y, second: x.
using AffineMatrix = std::array<std::array<double, 3>, 3>;

/// One affine change. Maps coordinates of the output to those of the input, so that a zoom above 1
/// enlarges and a positive shift moves the content down or right.
struct AffineParameters {
  double rotation_rad = 0;
  double shear_rad = 0;
  double height_zoom = 1;
  double width_zoom = 1;
  double height_shift = 0;  ///< in the unit of the matrix's coordinates
  double width_shift = 0;
};

AffineMatrix multiply(const AffineMatrix& a, const AffineMatrix& b);

/// T = R · S · Z · H about the origin, with (y, x) columns: R = [[cos θ, sin θ], [-sin θ, cos θ]],
/// S = [[1, sin φ], [0, cos φ]], Z = diag(1 / height_zoom, 1 / width_zoom), and H subtracts the
/// shifts.
AffineMatrix affine_matrix(const AffineParameters& parameters);

/// A part of the input image, with corners (y0, x0) and (y1, x1) in pixels.
struct AffineBox {
  double y0 = 0;
  double x0 = 0;
  double y1 = 0;
  double x1 = 0;
};

/// The whole map from pixels of a height × width output to pixels of the input: centre the output
/// on the origin, scale it to the box, T, move the origin to the centre of the box.
AffineMatrix affine_map(const AffineMatrix& about_origin, const AffineBox& box, int64_t height,
                        int64_t width);

}  // namespace baleen
