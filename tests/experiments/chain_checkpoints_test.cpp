// All ranks of a group go on from the checkpoint that its first rank has found, or none does.
#include "experiments/chain_checkpoints.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <thread>

#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "tests/experiments/memory_ranks.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

constexpr double kLossSum = 1.0 / 3;

Checkpoint checkpoint_at(int64_t step) {
  Checkpoint checkpoint;
  checkpoint.state.identity = "chain";
  checkpoint.state.progress.next_step = step;
  checkpoint.state.progress.loss_sum = kLossSum;
  checkpoint.state.chain_steps = step;
  checkpoint.tensors = {{"model.w", at::full({8}, static_cast<float>(step))}};
  return checkpoint;
}

std::string name_at(int64_t step) { return fmt::format("checkpoint-s00-e00000-i{:07}", step); }

/// Its steps, where state and tensors are of one checkpoint.
std::string steps_of(const std::optional<Checkpoint>& checkpoint) {
  if (!checkpoint) return "nothing";
  EXPECT_EQ(checkpoint->state.progress.loss_sum, kLossSum) << "to the bit";
  EXPECT_TRUE(
      (checkpoint->tensors.at(0).second == checkpoint->state.chain_steps).all().item<bool>());
  return std::to_string(checkpoint->state.chain_steps);
}

void flip_a_bit(const std::filesystem::path& file) {
  std::string bytes = read_file(file);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  write_file_atomically(file, bytes);
}

/// A directory of that name: opening works, reading fails with EISDIR.
void make_unreadable(const std::filesystem::path& file) {
  ASSERT_TRUE(std::filesystem::remove(file));
  std::filesystem::create_directory(file);
}

/// The parameter: the number of ranks.
class ChainCheckpointsTest : public ::testing::TestWithParam<int> {
 protected:
  /// A directory of each rank's own: its view of the one that they share.
  std::filesystem::path view(int rank) const { return directory_ / fmt::format("rank{}", rank); }
  int num_ranks() const { return GetParam(); }
  int last() const { return num_ranks() - 1; }

  void save_everywhere(const std::vector<int64_t>& steps) {
    for (int rank = 0; rank < num_ranks(); ++rank)
      for (const int64_t step : steps) CheckpointStore(view(rank), 9).save(checkpoint_at(step));
  }

  /// What each rank ends with: steps, "nothing", the kind of its error, or "peer failed".
  template <class Load>
  std::vector<std::string> on_ranks(Load&& load) {
    testing::MemoryRanks ranks(num_ranks());
    std::vector<int> members;
    for (int rank = 0; rank < num_ranks(); ++rank) members.push_back(rank);
    std::vector<std::string> ends(members.size());
    std::vector<std::thread> threads;
    for (const int rank : members) {
      threads.emplace_back([&, rank] {
        std::string& end = ends[static_cast<size_t>(rank)];
        const auto group = ranks.make_group(rank, members, 0);
        const ChainCheckpoints checkpoints(view(rank), TrainingSection{});
        try {
          end = steps_of(load(checkpoints, *group));
        } catch (const Error& error) {
          end = name_of(error.kind());
        } catch (const PeerFailed&) {
          end = "peer failed";
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    return ends;
  }
  std::vector<std::string> load_latest() {
    return on_ranks([](const ChainCheckpoints& checkpoints, Communicator& group) {
      return checkpoints.load_latest("chain", group);
    });
  }
  std::vector<std::string> load_best() {
    return on_ranks([](const ChainCheckpoints& checkpoints, Communicator& group) {
      return checkpoints.load_best(0, "chain", group);
    });
  }
  std::vector<std::string> all(const std::string& end) const {
    return std::vector<std::string>(static_cast<size_t>(num_ranks()), end);
  }
  /// That rank ends with `own`, the others with "peer failed".
  std::vector<std::string> only(int rank, const std::string& own) const {
    std::vector<std::string> ends = all("peer failed");
    ends[static_cast<size_t>(rank)] = own;
    return ends;
  }

  testing::TemporaryDirectory directory_;
};

TEST_P(ChainCheckpointsTest, OldListingsOnOtherRanksMakeNoDifference) {
  save_everywhere({2, 4});
  for (int rank = 1; rank < num_ranks(); ++rank) {
    if (rank % 2 == 1)
      std::filesystem::remove(view(rank) / (name_at(4) + ".json"));
    else
      CheckpointStore(view(rank), 9).save(checkpoint_at(6));
  }
  EXPECT_EQ(load_latest(), all("4"));
}

TEST_P(ChainCheckpointsTest, WhatTheFirstRankPassesOverIsTakenByNone) {
  save_everywhere({2, 4});
  flip_a_bit(view(0) / (name_at(4) + ".safetensors"));
  EXPECT_EQ(load_latest(), all("2"));
}

TEST_P(ChainCheckpointsTest, WithoutACheckpointOnTheFirstRankAllBeginAnew) {
  for (int rank = 1; rank < num_ranks(); ++rank)
    CheckpointStore(view(rank), 9).save(checkpoint_at(2));
  EXPECT_EQ(load_latest(), all("nothing"));
  EXPECT_EQ(load_best(), all("nothing"));
}

TEST_P(ChainCheckpointsTest, NoRankGoesOnWhereOneCannotLoadTheChosenOne) {
  save_everywhere({2, 4});
  // Alone, the last rank is the first one, which chooses what is whole.
  flip_a_bit(view(last()) / (name_at(4) + ".safetensors"));
  EXPECT_EQ(load_latest(), num_ranks() == 1 ? all("2") : only(last(), "data"));
  make_unreadable(view(last()) / (name_at(4) + ".safetensors"));
  EXPECT_EQ(load_latest(), only(last(), "storage"));
}

TEST_P(ChainCheckpointsTest, NoRankGoesOnWhereTheFirstOneCannotRead) {
  save_everywhere({2, 4});
  make_unreadable(view(0) / (name_at(4) + ".json"));
  EXPECT_EQ(load_latest(), only(0, "storage"));
}

TEST_P(ChainCheckpointsTest, AnOldRecordOfTheBestEpochIsNotBelieved) {
  for (int rank = 0; rank < num_ranks(); ++rank) {
    CheckpointStore store(view(rank), 9);
    store.save_best(checkpoint_at(2));
    const std::string old = read_file(view(rank) / "best-s00.json");
    store.save_best(checkpoint_at(4));
    if (rank > 0) write_file_atomically(view(rank) / "best-s00.json", old);
  }
  EXPECT_EQ(load_best(), all("4"));
}

INSTANTIATE_TEST_SUITE_P(Ranks, ChainCheckpointsTest, ::testing::Values(1, 2, 3));

}  // namespace
}  // namespace baleen
