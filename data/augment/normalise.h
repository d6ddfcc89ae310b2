#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/config/field.h"
#include "data/sample_table.h"

namespace baleen {

/// Which mean and standard deviation the network's input has been shifted and scaled by.
struct NormaliseOptions {
  std::string kind = "imagenet";
  std::vector<double> mean;
  std::vector<double> std;
};

template <class Visitor>
void visit_fields(Visitor& v, NormaliseOptions& o) {
  v.field("kind", o.kind,
          "imagenet: what published weights expect; half: (x - 0.5) / 0.5; dataset: measured on "
          "the training images; "
          "custom: mean and std below; pixels are in [0, 1] before",
          config::one_of({"imagenet", "half", "dataset", "custom"}));
  v.field("mean", o.mean, "per channel, in [0, 1]; for kind custom");
  v.field("std", o.std, "per channel, above 0; for kind custom");
}

/// Mean and standard deviation per channel, of pixels in [0, 1].
struct Normalisation {
  std::vector<double> mean;
  std::vector<double> std;
};

/// The figures for a network with `channels` inputs. `measured` is used by kind dataset only
/// (channel_statistics()).
/// @throws Error kConfiguration when the kind and the number of channels don't fit.
Normalisation resolve_normalisation(const NormaliseOptions& options, int64_t channels,
                                    const Normalisation& measured = {});

/// Mean and standard deviation of the rows' images at their stored size nearest above `size_px`.
/// Exact integer sums: the result does not depend on the order of the rows.
Normalisation channel_statistics(const SampleTable& table, std::span<const int64_t> rows,
                                 int64_t size_px);

/// Maps a byte to its normalised value: one table of 256 per channel. Exact, the same bits
/// everywhere, and as fast as vectorised arithmetic because the table stays in the first-level
/// cache.
class PixelTable {
 public:
  PixelTable() = default;
  explicit PixelTable(const Normalisation& normalisation);
  /// As above, but for pixels changed to clamp(gain·x + offset, 0, 1) first.
  PixelTable(const Normalisation& normalisation, double gain, double offset);
  const float* channel(int64_t c) const { return values_[static_cast<size_t>(c)].data(); }
  int64_t channels() const { return static_cast<int64_t>(values_.size()); }
  /// Fills the table anew without allocating.
  void assign(const Normalisation& normalisation, double gain, double offset);

 private:
  std::vector<std::array<float, 256>> values_;
};

}  // namespace baleen
