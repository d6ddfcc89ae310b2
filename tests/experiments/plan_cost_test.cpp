#include "experiments/plan_cost.h"

#include <gtest/gtest.h>

#include "core/nn/multiply_adds.h"
#include "core/nn/registry.h"

namespace baleen {
namespace {

// A plan must not build networks only to weigh them: it has a table, which this keeps true.
TEST(PlanCostTest, TheTableIsWhatAPassCounts) {
  BackboneRegistry registry;
  register_backbones(registry);
  for (const BackboneInfo& info : registry.list()) {
    const auto network = registry.create({.name = info.name, .num_outputs = 1000});
    const auto counted = static_cast<double>(multiply_adds(*network, 3, info.usual_size_px)) / 1e9;
    EXPECT_NEAR(forward_gmac(info.name, info.usual_size_px) / counted, 1.0, 0.01)
        << info.name << ": " << counted << " at " << info.usual_size_px << " px";
  }
}

}  // namespace
}  // namespace baleen
