#include "data/augment/affine.h"

#include <cmath>

namespace baleen {

AffineMatrix multiply(const AffineMatrix& a, const AffineMatrix& b) {
  AffineMatrix product{};
  for (size_t row = 0; row < 3; ++row)
    for (size_t column = 0; column < 3; ++column)
      for (size_t k = 0; k < 3; ++k) product[row][column] += a[row][k] * b[k][column];
  return product;
}

AffineMatrix affine_matrix(const AffineParameters& p) {
  const double sine = std::sin(p.rotation_rad);
  const double cosine = std::cos(p.rotation_rad);
  const AffineMatrix rotation = {{{cosine, sine, 0}, {-sine, cosine, 0}, {0, 0, 1}}};
  const AffineMatrix shear = {
      {{1, std::sin(p.shear_rad), 0}, {0, std::cos(p.shear_rad), 0}, {0, 0, 1}}};
  const AffineMatrix zoom = {{{1 / p.height_zoom, 0, 0}, {0, 1 / p.width_zoom, 0}, {0, 0, 1}}};
  const AffineMatrix shift = {{{1, 0, -p.height_shift}, {0, 1, -p.width_shift}, {0, 0, 1}}};
  return multiply(multiply(rotation, shear), multiply(zoom, shift));
}

AffineMatrix affine_map(const AffineMatrix& about_origin, const AffineBox& box, int64_t height,
                        int64_t width) {
  const double h = static_cast<double>(height);
  const double w = static_cast<double>(width);
  const AffineMatrix centre = {{{1, 0, -h / 2}, {0, 1, -w / 2}, {0, 0, 1}}};
  const AffineMatrix scale = {
      {{(box.y1 - box.y0) / h, 0, 0}, {0, (box.x1 - box.x0) / w, 0}, {0, 0, 1}}};
  const AffineMatrix uncentre = {
      {{1, 0, (box.y0 + box.y1) / 2}, {0, 1, (box.x0 + box.x1) / 2}, {0, 0, 1}}};
  return multiply(multiply(uncentre, about_origin), multiply(scale, centre));
}

}  // namespace baleen
