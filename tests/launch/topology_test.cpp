#include "launch/topology.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "launch/binding.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

/// A tree of files as the kernel shows them: two packages of four cores with two threads each, a
/// NUMA node per package, and four GPUs of which the first two hang on the second package.
class FakeMachine : public ::testing::Test {
 protected:
  void SetUp() override {
    unsetenv("CUDA_VISIBLE_DEVICES");
    write("sys/devices/system/node/node0/cpulist", "0-3,8-11");
    write("sys/devices/system/node/node1/cpulist", "4-7,12-15");
    write("sys/devices/system/node/possible", "0-1");
    for (int i = 0; i < 16; ++i) {
      const std::string folder = "sys/devices/system/cpu/cpu" + std::to_string(i) + "/topology/";
      write(folder + "core_id", std::to_string(i % 4));
      write(folder + "physical_package_id", std::to_string(i % 8 / 4));
    }
    const char* const places[] = {"0000:17:00.0", "0000:3a:00.0", "0000:98:00.0", "0000:b8:00.0"};
    for (int g = 0; g < 4; ++g) {
      write(std::string("proc/driver/nvidia/gpus/") + places[g] + "/information",
            "Model: \t\t NVIDIA H200\nGPU UUID: \t GPU-" + std::to_string(g) + "abc-def\n");
      write(std::string("sys/bus/pci/devices/") + places[g] + "/numa_node", g < 2 ? "1" : "0");
    }
  }
  void TearDown() override { unsetenv("CUDA_VISIBLE_DEVICES"); }

  void write(const std::string& file, const std::string& text) {
    std::filesystem::create_directories((root_ / file).parent_path());
    std::ofstream(root_ / file) << text << "\n";
  }
  Topology read(std::set<int> usable) { return read_topology(root_.path(), std::move(usable)); }

  const std::set<int> all_ = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  testing::TemporaryDirectory root_;
};

LaunchPlace place(int local_rank, int local_size) {
  return {.launched = true, .local_rank = local_rank, .local_size = local_size};
}

TEST_F(FakeMachine, CoresCountOnceAndNodesHoldTheirProcessors) {
  const Topology topology = read(all_);
  EXPECT_EQ(topology.num_cores, 8);
  EXPECT_EQ(topology.num_slots(), 8);
  ASSERT_EQ(topology.numa_nodes.size(), 2u);
  EXPECT_EQ(topology.numa_nodes[0].id, 0);
  EXPECT_THAT(topology.numa_nodes[1].processors, ElementsAre(4, 5, 6, 7, 12, 13, 14, 15));
  EXPECT_THAT(topology.gpu_numa_nodes, ElementsAre(1, 1, 0, 0));
}

TEST_F(FakeMachine, OnlyProcessorsOfThisProcessCount) {
  const Topology topology = read({4, 5, 12});
  EXPECT_EQ(topology.num_cores, 2);
  ASSERT_EQ(topology.numa_nodes.size(), 1u);
  EXPECT_EQ(topology.numa_nodes[0].id, 1);
  EXPECT_EQ(numa_node_for(place(1, 2), topology), -1) << "it is on one node already";
}

TEST_F(FakeMachine, AContainersQuotaLimitsTheRanks) {
  write("sys/fs/cgroup/cpu.max", "250000 100000");
  EXPECT_DOUBLE_EQ(read(all_).quota, 2.5);
  EXPECT_EQ(read(all_).num_slots(), 2);
  write("sys/fs/cgroup/cpu.max", "max 100000");
  EXPECT_EQ(read(all_).num_slots(), 8);
  write("sys/fs/cgroup/cpu.max", "50000 100000");
  EXPECT_EQ(read(all_).num_slots(), 1);
}

TEST_F(FakeMachine, TheOlderKindOfQuotaToo) {
  write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "300000");
  write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000");
  EXPECT_DOUBLE_EQ(processor_quota(root_.path()), 3);
  write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1");
  EXPECT_DOUBLE_EQ(processor_quota(root_.path()), 0);
}

TEST_F(FakeMachine, RanksStayNearTheirDevice) {
  const Topology topology = read(all_);
  const int expected[] = {1, 1, 0, 0, 1, 1, 0, 0};
  for (int rank = 0; rank < 8; ++rank)
    EXPECT_EQ(numa_node_for(place(rank, 8), topology), expected[rank]) << rank;
  EXPECT_EQ(numa_node_for(place(0, 1), topology), 1) << "a lone rank has a device too";
}

TEST_F(FakeMachine, VisibleDevicesAreThoseOfTheVariable) {
  setenv("CUDA_VISIBLE_DEVICES", "3,0", 1);
  EXPECT_THAT(read(all_).gpu_numa_nodes, ElementsAre(0, 1));
  setenv("CUDA_VISIBLE_DEVICES", "GPU-1a,GPU-2abc-def", 1);
  EXPECT_THAT(read(all_).gpu_numa_nodes, ElementsAre(1, 0));
  setenv("CUDA_VISIBLE_DEVICES", "2,9,0", 1);
  EXPECT_THAT(read(all_).gpu_numa_nodes, ElementsAre(0));
  setenv("CUDA_VISIBLE_DEVICES", "", 1);
  EXPECT_THAT(read(all_).gpu_numa_nodes, IsEmpty());
}

TEST_F(FakeMachine, WithoutDevicesRanksAreDealtOutInBlocks) {
  setenv("CUDA_VISIBLE_DEVICES", "", 1);
  const Topology topology = read(all_);
  const int expected[] = {0, 0, 0, 1, 1};
  for (int rank = 0; rank < 5; ++rank)
    EXPECT_EQ(numa_node_for(place(rank, 5), topology), expected[rank]) << rank;
  EXPECT_EQ(numa_node_for(place(0, 1), topology), -1) << "a lone rank may use every core";
  EXPECT_EQ(numa_node_for(place(0, 0), topology), -1) << "nothing is known of the ranks";
}

TEST(ProcessorList, IsReadOrRefused) {
  EXPECT_THAT(parse_processor_list("0-2,7"), ElementsAre(0, 1, 2, 7));
  EXPECT_THAT(parse_processor_list("5"), ElementsAre(5));
  for (const char* wrong : {"", "x", "3-1", "1-", "-2", "1,,2", "0-99999999"})
    EXPECT_THAT(parse_processor_list(wrong), IsEmpty()) << wrong;
}

TEST(ThisMachine, HasACoreAndANode) {
  const Topology topology = read_topology();
  EXPECT_GE(topology.num_cores, 1);
  ASSERT_GE(topology.numa_nodes.size(), 1u);
  EXPECT_FALSE(topology.numa_nodes[0].processors.empty());
}

TEST(Binding, IsLeftToTheUserWhoAsksForIt) {
  setenv("BALEEN_BIND", "0", 1);
  EXPECT_EQ(bind_to_numa_node({.launched = true, .local_rank = 1, .local_size = 2}), "");
  unsetenv("BALEEN_BIND");
  EXPECT_EQ(bind_to_numa_node({.launched = false}), "");
}

}  // namespace
}  // namespace baleen
