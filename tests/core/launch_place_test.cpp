#include "core/base/launch_place.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

namespace baleen {
namespace {

const char* const kVariables[] = {"OMPI_COMM_WORLD_RANK",
                                  "OMPI_COMM_WORLD_SIZE",
                                  "OMPI_COMM_WORLD_LOCAL_RANK",
                                  "OMPI_COMM_WORLD_LOCAL_SIZE",
                                  "PMI_RANK",
                                  "PMI_SIZE",
                                  "PMI_LOCAL_RANK",
                                  "PMI_LOCAL_SIZE",
                                  "MPI_LOCALRANKID",
                                  "MPI_LOCALNRANKS",
                                  "PMIX_RANK",
                                  "SLURM_PROCID",
                                  "SLURM_STEP_NUM_TASKS",
                                  "SLURM_LOCALID",
                                  "SLURM_NODEID",
                                  "SLURM_STEP_TASKS_PER_NODE",
                                  "RANK",
                                  "WORLD_SIZE",
                                  "LOCAL_RANK",
                                  "LOCAL_WORLD_SIZE"};

/// Sets variables for the time of a test, those of all launchers out of the way.
class Launched : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : kVariables) unsetenv(name);
  }
  void TearDown() override { SetUp(); }
  static void set(const char* name, const std::string& value) { setenv(name, value.c_str(), 1); }
};

/// What the variables say now.
void expect_place(const char* launcher, int rank, int world_size, int local_rank, int local_size) {
  SCOPED_TRACE(launcher);
  const LaunchPlace place = launch_place();
  EXPECT_EQ(place.launcher, launcher);
  EXPECT_EQ(place.rank, rank);
  EXPECT_EQ(place.world_size, world_size);
  EXPECT_EQ(place.local_rank, local_rank);
  EXPECT_EQ(place.local_size, local_size);
}

TEST_F(Launched, AloneIsRankZeroOfOne) {
  const LaunchPlace place = launch_place();
  EXPECT_EQ(place.rank, 0);
  EXPECT_EQ(place.world_size, 1);
  EXPECT_EQ(place.local_rank, 0);
  EXPECT_EQ(place.local_size, 0);
  EXPECT_FALSE(place.launched);
  EXPECT_EQ(place.launcher, "");
}

TEST_F(Launched, ABatchScriptOutsideOfAnyStepIsNot) {
  set("SLURM_PROCID", "0");
  EXPECT_FALSE(launch_place().launched);
}

TEST_F(Launched, InTheOrderOpenMpiThenPmiThenPmixThenSlurmThenTorchrun) {
  set("RANK", "1");
  set("WORLD_SIZE", "11");
  set("LOCAL_RANK", "1");
  set("LOCAL_WORLD_SIZE", "5");
  expect_place("torchrun", 1, 11, 1, 5);

  set("SLURM_PROCID", "2");
  set("SLURM_STEP_NUM_TASKS", "12");
  set("SLURM_LOCALID", "2");
  set("SLURM_NODEID", "1");
  set("SLURM_STEP_TASKS_PER_NODE", "9,3");
  expect_place("srun", 2, 12, 2, 3);

  set("PMIX_RANK", "3");
  const LaunchPlace place = launch_place();
  EXPECT_EQ(place.launcher, "srun --mpi=pmix");
  EXPECT_EQ(place.rank, 3);
  EXPECT_EQ(place.world_size, 12);

  set("PMI_RANK", "4");
  set("PMI_SIZE", "14");
  set("PMI_LOCAL_RANK", "4");
  set("PMI_LOCAL_SIZE", "7");
  expect_place("PMI", 4, 14, 4, 7);

  // mpirun inside of a Slurm step: the inner launcher counts.
  set("OMPI_COMM_WORLD_RANK", "5");
  set("OMPI_COMM_WORLD_SIZE", "15");
  set("OMPI_COMM_WORLD_LOCAL_RANK", "0");
  set("OMPI_COMM_WORLD_LOCAL_SIZE", "8");
  expect_place("mpirun", 5, 15, 0, 8);
}

TEST_F(Launched, ValuesThatAreNoPlaceAreNotBelieved) {
  for (const auto& [rank, size] : {std::pair{"x", "4"}, std::pair{"1", ""}, std::pair{"-1", "4"},
                                   std::pair{"4", "4"}, std::pair{"1x", "4"}}) {
    set("OMPI_COMM_WORLD_RANK", rank);
    set("OMPI_COMM_WORLD_SIZE", size);
    EXPECT_FALSE(launch_place().launched) << rank << " of " << size;
  }
}

TEST(SlurmCounts, AreReadInTheirShortForm) {
  const int expected[] = {4, 4, 1, 16, 16, 16, 0};
  for (int i = 0; i < 7; ++i) EXPECT_EQ(nth_of_slurm_counts("4(x2),1,16(x3)", i), expected[i]) << i;
  EXPECT_EQ(nth_of_slurm_counts("2", 0), 2);
  for (const char* wrong : {"", "x", "4(x", "4(x2", "4(y2)", "4;5"})
    EXPECT_EQ(nth_of_slurm_counts(wrong, 1), 0) << wrong;
}

}  // namespace
}  // namespace baleen
