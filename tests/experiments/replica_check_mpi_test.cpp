// One bit on one rank is found, and the rank and the tensor are named.
#include "experiments/replica_check.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/mpi_world.h"

namespace baleen {
namespace {

using ::testing::HasSubstr;

NamedTensors same_everywhere() {
  at::manual_seed(7);
  return {{"conv1.weight", at::randn({16, 3, 3, 3}).contiguous(at::MemoryFormat::ChannelsLast)},
          {"bn1.num_batches_tracked", at::full({}, 12, at::kLong)},
          {"fc.weight", at::randn({10, 16})},
          {"empty", at::empty({0})}};
}

void move_one_ulp(at::Tensor& tensor, int64_t element) {
  float* values = tensor.mutable_data_ptr<float>();
  values[element] = std::nextafter(values[element], 100.0F);
}

class ReplicaCheck : public ::testing::Test {
 protected:
  void TearDown() override { world_.close(); }
  std::string compare(const NamedTensors& tensors) {
    return replica_difference(tensors, world_,
                              {world_.rank(), fmt::format("host{}", world_.rank())});
  }
  MpiCommunicator world_{testing::duplicate_world(), {}};
};

TEST_F(ReplicaCheck, EqualBitsAreEqual) { EXPECT_EQ(compare(same_everywhere()), ""); }

TEST_F(ReplicaCheck, OneUlpOnOneRankIsFoundAndNamed) {
  NamedTensors tensors = same_everywhere();
  if (world_.rank() == 1) move_one_ulp(tensors[2].second, 159);
  const std::string found = compare(tensors);
  if (world_.size() == 1) {
    EXPECT_EQ(found, "");
    return;
  }
  EXPECT_THAT(found, HasSubstr("rank 1 on host host1"));
  EXPECT_THAT(found, HasSubstr("fc.weight"));
  if (world_.size() == 2) {
    EXPECT_EQ(found, "rank 0 on host host0, rank 1 on host host1 hold different bits of fc.weight");
  } else {
    EXPECT_THAT(found,
                HasSubstr("rank 1 on host host1 holds other bits than rank 0 on host host0"));
  }
}

TEST_F(ReplicaCheck, FurtherTensorsAreCounted) {
  NamedTensors tensors = same_everywhere();
  if (world_.rank() == world_.size() - 1) {
    move_one_ulp(tensors[0].second, 3);
    tensors[1].second.add_(1);
    move_one_ulp(tensors[2].second, 0);
  }
  if (world_.size() > 1) {
    EXPECT_THAT(compare(tensors), HasSubstr("conv1.weight, and in 2 more tensors"));
  } else {
    EXPECT_EQ(compare(tensors), "");
  }
}

TEST_F(ReplicaCheck, SignedZerosDiffer) {
  const NamedTensors tensors = {
      {"w", at::full({1}, world_.rank() == 0 ? 0.0F : -0.0F, at::kFloat)}};
  EXPECT_EQ(compare(tensors).empty(), world_.size() == 1);
}

}  // namespace
}  // namespace baleen
