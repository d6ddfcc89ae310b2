#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace baleen {

/// Multiply-accumulates of one forward pass of one image, in units of 1e9, scaled by the area from
/// a known size. Unknown names get the figure of ResNet-18; costs then correct themselves as soon
/// as a chain has been measured.
double forward_gmac(const std::string& backbone, int64_t size_px);

/// Work of a backward pass in forward passes, so that one training sample costs 1 + this.
inline constexpr double kBackwardPasses = 2.0;

/// Share of a chain's one-rank time that a group needs when it cuts V shards over `group_size`
/// ranks: ceil(V / R) / V, plus the price of the exchange for groups of more than one.
double group_fraction(int64_t logical_shards, int group_size);

/// The smallest group that is as fast as `group_size` for V shards: 3 ranks finish 4 shards no
/// sooner than 2.
int useful_group_size(int64_t logical_shards, int group_size);

/// Time with batches cut into shards whose forward pass is `gmac_per_shard` of work, relative to
/// whole batches: small shards leave the processor waiting between calls. Interpolates measurements
/// of ResNet-18 on one core (docs/determinism.md).
double shard_overhead(int64_t logical_shards, double gmac_per_shard);

/// Seconds per GMAC on one rank, by backbone, as measured so far. Not thread-safe.
class CostRates {
 public:
  /// Learns from a chain, or a part of one: `cost` GMAC done in `seconds` by a group.
  /// Later measurements of a backbone are averaged with the earlier ones, weighted by cost.
  void observe(const std::string& backbone_label, double cost, double seconds,
               int64_t logical_shards, int group_size);
  /// The backbone's own rate, else the mean over measured backbones, else a guess.
  double seconds_per_gmac(const std::string& backbone_label) const;
  bool measured() const { return !totals_.empty(); }
  /// Time that a chain of this cost needs on a group.
  double expected_s(const std::string& backbone_label, double cost, int64_t logical_shards,
                    int group_size) const;

 private:
  struct Total {
    double cost = 0;
    double rank_s = 0;
  };
  std::map<std::string, Total> totals_;
};

}  // namespace baleen
