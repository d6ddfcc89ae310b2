#include "launch/process.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace baleen {
namespace {

/// Sets environment variables for the time of a test, others of the launchers out of the way.
class Launched : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "PMI_RANK", "PMI_SIZE",
                             "SLURM_PROCID", "SLURM_STEP_NUM_TASKS"}) {
      unsetenv(name);
    }
  }
  void TearDown() override { SetUp(); }
};

TEST_F(Launched, AloneIsRankZeroOfOne) {
  const LaunchPlace place = launch_place();
  EXPECT_EQ(place.rank, 0);
  EXPECT_EQ(place.world_size, 1);
  EXPECT_FALSE(place.launched);
}

TEST_F(Launched, ByOpenMpiAndBySrun) {
  setenv("SLURM_PROCID", "1", 1);
  EXPECT_FALSE(launch_place().launched) << "a batch script outside of any step";
  setenv("SLURM_STEP_NUM_TASKS", "3", 1);
  EXPECT_TRUE(launch_place().launched);
  EXPECT_EQ(launch_place().rank, 1);
  EXPECT_EQ(launch_place().world_size, 3);
  // mpirun inside of a Slurm step: the inner launcher counts.
  setenv("OMPI_COMM_WORLD_RANK", "5", 1);
  setenv("OMPI_COMM_WORLD_SIZE", "8", 1);
  EXPECT_EQ(launch_place().rank, 5);
  EXPECT_EQ(launch_place().world_size, 8);
}

}  // namespace
}  // namespace baleen
