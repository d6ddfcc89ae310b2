#include "distributed/communicator.h"

#include <gtest/gtest.h>
#include <mpi.h>

#include <algorithm>
#include <chrono>

#include "distributed/mpi_communicator.h"
#include "distributed/mpi_control_channel.h"

namespace baleen {
namespace {

MPI_Comm duplicate() {
  MPI_Comm comm;
  MPI_Comm_dup(MPI_COMM_WORLD, &comm);
  return comm;
}

TEST(CommunicatorTest, GathersBytesOfDifferentLengthInRankOrder) {
  MpiCommunicator comm(duplicate(), {});
  const std::string mine(static_cast<size_t>(comm.rank() * 3),
                         static_cast<char>('a' + comm.rank()));
  const auto all = comm.all_gather(mine);
  EXPECT_EQ(all.size(), static_cast<size_t>(comm.size()));
  for (int r = 0; r < comm.size(); ++r) {
    EXPECT_EQ(all[static_cast<size_t>(r)],
              std::string(static_cast<size_t>(r * 3), static_cast<char>('a' + r)));
  }
  const int root = comm.size() - 1;
  const auto at_root = comm.gather(mine, root);
  if (comm.rank() == root) {
    EXPECT_EQ(at_root, all);
  } else {
    EXPECT_TRUE(at_root.empty());
  }
  comm.close();
}

TEST(CommunicatorTest, AgreesAndBroadcasts) {
  MpiCommunicator comm(duplicate(), {});
  EXPECT_TRUE(comm.any(comm.rank() == comm.size() - 1));
  EXPECT_FALSE(comm.any(false));
  EXPECT_EQ(comm.max(comm.rank()), comm.size() - 1);
  const std::string text = comm.rank() == 0 ? std::string(100000, 'x') : "ignored";
  EXPECT_EQ(comm.broadcast(text, 0), std::string(100000, 'x'));
  comm.barrier();
  comm.close();
}

TEST(ControlChannelTest, MessagesReachTheirReceiverInOrderAlsoOneself) {
  MpiControlChannel channel(duplicate());
  int rank = 0;
  int size = 1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  for (int i = 0; i < 3; ++i) channel.send(0, 7, std::to_string(rank) + ":" + std::to_string(i));
  if (rank == 0) {
    std::vector<int> next(static_cast<size_t>(size), 0);
    for (int i = 0; i < 3 * size; ++i) {
      Message message;
      EXPECT_TRUE(channel.receive(7, 30.0, message));
      if (message.source < 0) break;
      int& expected = next[static_cast<size_t>(message.source)];
      EXPECT_EQ(message.bytes, std::to_string(message.source) + ":" + std::to_string(expected));
      ++expected;
    }
  }
  Message none;
  EXPECT_FALSE(channel.receive(8, 0.01, none));
  channel.close();
}

TEST(ControlChannelTest, AfterALongSilenceMessagesStillComeSoonAndWaitsEndInTime) {
  using Clock = std::chrono::steady_clock;
  MpiControlChannel channel(duplicate());
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  Message message;
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(channel.receive(7, 0.1, message));
  // Looks are rare by now. A shorter wait ends when it is over, not at the next look.
  double least_s = 1;
  for (int i = 0; i < 20; ++i) {
    const Clock::time_point start = Clock::now();
    EXPECT_FALSE(channel.receive(7, 0.001, message));
    least_s = std::min(least_s, std::chrono::duration<double>(Clock::now() - start).count());
  }
  EXPECT_LT(least_s, 0.008);
  channel.send(rank, 7, "late");
  EXPECT_TRUE(channel.receive(7, 30.0, message));
  EXPECT_EQ(message.bytes, "late");
  EXPECT_EQ(message.source, rank);
  channel.close();
}

}  // namespace
}  // namespace baleen
