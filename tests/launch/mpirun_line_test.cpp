#include "launch/supervisor/mpirun_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace baleen {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

/// A machine of `cores` cores in `nodes` NUMA nodes.
Topology machine(int cores, int nodes = 1, std::vector<int> gpus = {}) {
  Topology topology;
  topology.num_cores = cores;
  for (int n = 0; n < nodes; ++n) topology.numa_nodes.push_back({n, {n}});
  topology.gpu_numa_nodes = std::move(gpus);
  return topology;
}

std::string line(const MpirunOptions& options, const Topology& topology,
                 const std::vector<std::string>& environment = {}) {
  return paste_ready(mpirun_command(options, topology, environment, {"baleen", "run", "a b.yaml"}));
}

TEST(MpirunLine, OfOneMachineIsShort) {
  EXPECT_EQ(line({.num_ranks = 4}, machine(4)),
            "mpirun -n 4 --map-by slot --bind-to none baleen run 'a b.yaml'");
}

TEST(MpirunLine, RanksShareTheNodesOfAMachineWithSeveral) {
  EXPECT_THAT(line({.num_ranks = 4}, machine(8, 2)),
              HasSubstr("--map-by numa --bind-to numa:overload-allowed"));
}

TEST(MpirunLine, WithGpusEveryRankBindsItself) {
  EXPECT_THAT(line({}, machine(8, 2, {1, 0})),
              AllOf(HasSubstr("-n 2 "), HasSubstr("--bind-to none"), Not(HasSubstr("numa"))));
}

TEST(MpirunLine, OversubscribesOnlyWhereItMust) {
  EXPECT_THAT(line({.num_ranks = 2}, machine(2)), Not(HasSubstr("oversubscribe")));
  EXPECT_THAT(line({.num_ranks = 3}, machine(2)),
              AllOf(HasSubstr("--oversubscribe"), HasSubstr("--bind-to none"),
                    HasSubstr("mpi_yield_when_idle 1")));
  // Two ranks of two threads each have room as far as mpirun counts; nobody may be bound.
  EXPECT_THAT(line({.num_ranks = 2, .threads_per_rank = 2}, machine(2, 2)),
              AllOf(Not(HasSubstr("oversubscribe")), HasSubstr("--bind-to none"),
                    HasSubstr("mpi_yield_when_idle")));
}

TEST(MpirunLine, TakesWhatFitsWhereNobodySaysHowMany) {
  EXPECT_THAT(line({.threads_per_rank = 3}, machine(8)), HasSubstr("-n 2 "));
  EXPECT_THAT(line({.threads_per_rank = 16}, machine(8)), HasSubstr("-n 1 "));
  EXPECT_THAT(line({.hosts = {{"a", 3}, {"b", 2}}}, machine(1)), HasSubstr("-n 5 -H a:3,b:2"));
  EXPECT_THAT(line({.allocation_slots = 6}, machine(1)),
              AllOf(HasSubstr("-n 6 "), Not(HasSubstr("oversubscribe"))));
  Topology limited = machine(8);
  limited.quota = 2.5;
  EXPECT_THAT(line({}, limited), HasSubstr("-n 2 "));
}

TEST(MpirunLine, NeverAsksForMoreRanksThanTheHostsThatAreLeft) {
  EXPECT_THAT(line({.num_ranks = 8, .hosts = {{"a", 3}}}, machine(1)),
              AllOf(HasSubstr("-n 3 "), Not(HasSubstr("oversubscribe"))));
}

TEST(MpirunLine, BetweenHostsALostOneIsNoticedInSeconds) {
  const std::string text =
      line({.remote_shell = "ssh -F my config", .hosts = {{"192.0.2.1", 1}, {"192.0.2.2", 1}}},
           machine(2),
           {"HOME", "OMP_NUM_THREADS", "NCCL_DEBUG", "CUDA_VISIBLE_DEVICES", "NCCLX",
            "LD_LIBRARY_PATH"});
  EXPECT_THAT(text, AllOf(HasSubstr("--mca oob_tcp_keepalive_time 4"),
                          HasSubstr("--mca oob_tcp_keepalive_intvl 2"),
                          HasSubstr("--mca oob_tcp_keepalive_probes 4"),
                          HasSubstr("--mca plm_rsh_agent 'ssh -F my config'"),
                          HasSubstr("-x LD_LIBRARY_PATH -x NCCL_DEBUG -x OMP_NUM_THREADS ")));
  EXPECT_THAT(text, AllOf(Not(HasSubstr("HOME")), Not(HasSubstr("CUDA")), Not(HasSubstr("NCCLX"))));
  EXPECT_THAT(line({.hosts = {{"localhost", 2}}}, machine(2)), Not(HasSubstr("keepalive")));
  EXPECT_THAT(line({.allocation_slots = 4, .allocation_nodes = 2}, machine(2)),
              HasSubstr("keepalive"));
}

TEST(MpirunLine, HandsOnWordsAndLetsRootStart) {
  EXPECT_THAT(line({.program = "/opt/mpi/bin/mpirun",
                    .extra = {"--mca", "btl_tcp_if_include", "ib0"},
                    .num_ranks = 1,
                    .root = true},
                   machine(2)),
              AllOf(StartsWith("/opt/mpi/bin/mpirun --allow-run-as-root -n 1 "),
                    HasSubstr("--mca btl_tcp_if_include ib0 baleen run")));
}

}  // namespace
}  // namespace baleen
