#include "core/training/checkpoint_writer.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <thread>

#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

Checkpoint checkpoint_at(int64_t step, double value) {
  Checkpoint checkpoint;
  checkpoint.state.identity = "chain";
  checkpoint.state.progress.next_step = step;
  checkpoint.tensors = {{"model.w", at::full({2, 3}, value, at::kFloat)}};
  return checkpoint;
}

double value_of(const std::optional<Checkpoint>& checkpoint) {
  return checkpoint ? checkpoint->tensors.at(0).second[0][0].item<double>() : -1;
}

TEST(CheckpointWriterTest, WritesWhatWasThereWhenItWasAsked) {
  testing::TemporaryDirectory directory;
  CheckpointStore store(directory / "chain", 3);
  CheckpointWriter writer(store, 0.01);
  Checkpoint live = checkpoint_at(1, 1.0);
  Checkpoint best = copy_of(live);
  best.tensors[0].second.fill_(7);
  writer.save(live, std::move(best));
  live.tensors[0].second.fill_(2);  // training goes on
  writer.wait();
  EXPECT_EQ(value_of(store.load_latest("chain")), 1.0);
  EXPECT_EQ(value_of(store.load_best(0, "chain")), 7.0);

  live.state.progress.next_step = 2;
  writer.save(live, std::nullopt);
  live.state.progress.next_step = 3;
  live.tensors[0].second.fill_(3);
  writer.save(live, std::nullopt);  // waits for the one before
  writer.wait();
  EXPECT_EQ(value_of(store.load_latest("chain")), 3.0);
  EXPECT_EQ(value_of(store.load_best(0, "chain")), 7.0) << "the best one stays";
}

TEST(CheckpointWriterTest, TheNextOneIsDueWhenItHasBeenEarned) {
  testing::TemporaryDirectory directory;
  CheckpointStore store(directory / "chain", 3);
  CheckpointWriter frugal(store, 1e-9);
  EXPECT_FALSE(frugal.due()) << "the first one after some seconds";
  EXPECT_FALSE(frugal.knows_cost());
  frugal.save(checkpoint_at(1, 1.0), std::nullopt);
  EXPECT_TRUE(frugal.knows_cost());
  frugal.wait();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_FALSE(frugal.due()) << "at a billionth of the time, not for a long while";

  CheckpointWriter lavish(store, 1.0);
  lavish.save(checkpoint_at(2, 1.0), std::nullopt);
  lavish.wait();
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  EXPECT_TRUE(lavish.due());
}

TEST(CheckpointWriterTest, CopiesThatAreKeptPutTheNextOneOffButNotForGood) {
  testing::TemporaryDirectory directory;
  CheckpointStore store(directory / "chain", 3);
  CheckpointWriter writer(store, 0.01);
  EXPECT_EQ(writer.price_s(), 0);
  writer.save(checkpoint_at(1, 1.0), std::nullopt);
  writer.wait();
  const double alone_s = writer.price_s();
  EXPECT_GT(alone_s, 0);
  const Checkpoint copy = writer.kept_copy(checkpoint_at(2, 5.0));
  EXPECT_EQ(value_of(copy), 5.0);
  EXPECT_GT(writer.price_s(), alone_s);
  Checkpoint large = checkpoint_at(3, 1.0);
  large.tensors[0].second = at::zeros({1 << 20});
  for (int i = 0; i < 10000 && writer.price_s() < 10 * alone_s; ++i) writer.kept_copy(large);
  EXPECT_DOUBLE_EQ(writer.price_s(), CheckpointWriter::kMostStretch * alone_s);
}

TEST(CheckpointWriterTest, WhatGoesWrongInTheBackgroundIsThrownAtTheNextCall) {
  testing::TemporaryDirectory directory;
  write_file_atomically(directory / "file", "no folder");
  CheckpointStore store(directory / "file" / "chain", 3);
  {
    CheckpointWriter writer(store, 0.01);
    writer.save(checkpoint_at(1, 1.0), std::nullopt);
    EXPECT_ANY_THROW(writer.wait());
    EXPECT_NO_THROW(writer.wait()) << "it is told once";
    writer.save(checkpoint_at(2, 1.0), std::nullopt);
  }  // nobody asks: the destructor logs it
}

}  // namespace
}  // namespace baleen
