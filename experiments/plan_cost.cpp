#include "experiments/plan_cost.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace baleen {
namespace {

struct KnownCost {
  const char* name;
  double gmac;  // one forward pass at this size, 3 channels, 1000 outputs
  double size_px;
};

// Counted layer by layer: convolutions and linear layers. DenseNets pool before their transitions'
// convolutions.
constexpr std::array<KnownCost, 20> kKnownCosts = {{
    {"resnet18", 1.814, 224},       {"resnet34", 3.664, 224},
    {"resnet50", 4.089, 224},       {"resnet101", 7.801, 224},
    {"resnet152", 11.514, 224},     {"densenet121", 2.603, 224},
    {"densenet161", 7.053, 224},    {"densenet169", 3.085, 224},
    {"densenet201", 3.901, 224},    {"inception_v3", 5.713, 299},
    {"bninception", 2.033, 224},    {"seresnext50_32x4d", 4.233, 224},
    {"simplenet", 1.800, 224},      {"simplenet_small", 0.449, 32},
    {"simplenet_cifar", 1.630, 32}, {"simplenet64", 0.118, 64},
    {"piotte", 2.094, 384},         {"gapnet", 3.851, 1024},
    {"box_regressor", 1.350, 128},  {"conv4", 0.01841, 32},
}};

// A guess for a processor core that has not been measured; only ratios of forecasts made with it
// mean anything.
constexpr double kGuessedSecondsPerGmac = 1.0 / 25;

// Price of the gradient exchange in a group, as a share of the computation: the tree costs about
// what an all-reduce does.
constexpr double kExchange = 0.05;

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace

double forward_gmac(const std::string& backbone, int64_t size_px) {
  const auto known = std::find_if(kKnownCosts.begin(), kKnownCosts.end(),
                                  [&](const KnownCost& cost) { return backbone == cost.name; });
  const KnownCost& cost = known != kKnownCosts.end() ? *known : kKnownCosts[0];
  const double scale = static_cast<double>(size_px) / cost.size_px;
  return cost.gmac * scale * scale;
}

double group_fraction(int64_t logical_shards, int group_size) {
  const int64_t shards = std::max<int64_t>(1, logical_shards);
  const int64_t ranks = std::clamp<int64_t>(group_size, 1, shards);
  const double share = static_cast<double>(ceil_div(shards, ranks)) / static_cast<double>(shards);
  return ranks > 1 ? share * (1 + kExchange) : share;
}

int useful_group_size(int64_t logical_shards, int group_size) {
  const int64_t shards = std::max<int64_t>(1, logical_shards);
  const int64_t ranks = std::clamp<int64_t>(group_size, 1, shards);
  return static_cast<int>(ceil_div(shards, ceil_div(shards, ranks)));
}

double shard_overhead(int64_t logical_shards, double gmac_per_shard) {
  if (logical_shards <= 1) return 1;
  // Measured with ResNet-18: 1.02 for 9.5 GMAC (16 images of 128 px), 1.16 for 2.4, 1.5 for 1.2
  // (8 images of 64 px). Below that the cost is one of calls: inversely proportional to the work.
  constexpr double kKnee = 1.2;
  const double ratio = kKnee / std::max(1e-6, gmac_per_shard);
  return 1 + 0.5 * (ratio > 1 ? ratio : std::pow(ratio, 1.55));
}

void CostRates::observe(const std::string& backbone_label, double cost, double seconds,
                        int64_t logical_shards, int group_size) {
  if (!(cost > 0) || !(seconds > 0)) return;
  Total& total = totals_[backbone_label];
  total.cost += cost;
  total.rank_s += seconds / group_fraction(logical_shards, group_size);
}

double CostRates::seconds_per_gmac(const std::string& backbone_label) const {
  const auto own = totals_.find(backbone_label);
  if (own != totals_.end()) return own->second.rank_s / own->second.cost;
  Total all;
  for (const auto& [label, total] : totals_) {
    all.cost += total.cost;
    all.rank_s += total.rank_s;
  }
  return all.cost > 0 ? all.rank_s / all.cost : kGuessedSecondsPerGmac;
}

double CostRates::expected_s(const std::string& backbone_label, double cost, int64_t logical_shards,
                             int group_size) const {
  return cost * seconds_per_gmac(backbone_label) * group_fraction(logical_shards, group_size);
}

}  // namespace baleen
