// Which checkpoints stay, which go, and what can be gone back to.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "core/training/checkpoint.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

Checkpoint checkpoint_at(int64_t epoch, int64_t step, int64_t chain_steps) {
  Checkpoint checkpoint;
  checkpoint.state.identity = "chain";
  checkpoint.state.epoch = epoch;
  checkpoint.state.progress.next_step = step;
  checkpoint.state.chain_steps = chain_steps;
  checkpoint.tensors = {{"model.w", at::full({2}, static_cast<float>(chain_steps))}};
  return checkpoint;
}

int64_t steps_of(const std::optional<Checkpoint>& checkpoint) {
  return checkpoint ? checkpoint->state.chain_steps : -1;
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

/// The kind of error that `action` ends with, or "none".
template <class Action>
std::string error_of(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return name_of(error.kind());
  }
  return "none";
}

TEST(CheckpointKeeping, EpochStartsStayAsLongAsACheckpointOfTheirEpochDoes) {
  testing::TemporaryDirectory directory;
  CheckpointStore store(directory.path(), 2);
  store.save_start(checkpoint_at(0, 0, 0));
  store.save(checkpoint_at(0, 3, 3));
  store.save_start(checkpoint_at(1, 0, 10));
  store.save(checkpoint_at(1, 2, 12));
  EXPECT_EQ(steps_of(store.load_start(0, 0, "chain")), 0);
  EXPECT_EQ(steps_of(store.load_start(0, 1, "chain")), 10);
  store.save(checkpoint_at(1, 4, 14));
  EXPECT_EQ(steps_of(store.load_start(0, 0, "chain")), -1) << "nothing of epoch 0 is left";
  EXPECT_EQ(steps_of(store.load_start(0, 1, "chain")), 10);
  EXPECT_EQ(steps_of(store.load_start(0, 1, "another")), -1);
}

TEST(CheckpointKeeping, ADamagedEpochStartIsNone) {
  testing::TemporaryDirectory directory;
  CheckpointStore store(directory.path(), 2);
  store.save_start(checkpoint_at(0, 0, 0));
  store.save(checkpoint_at(0, 3, 3));
  flip_a_bit(directory / "start-s00-e00000.safetensors");
  EXPECT_EQ(steps_of(store.load_start(0, 0, "chain")), -1);
  EXPECT_EQ(steps_of(store.load_latest("chain")), 3) << "the chain goes on without a way back";
  make_unreadable(directory / "start-s00-e00000.safetensors");
  EXPECT_EQ(error_of([&] { store.load_start(0, 0, "chain"); }), "storage");
}

TEST(CheckpointKeeping, ADamagedBestEpochIsAnError) {
  testing::TemporaryDirectory directory;
  CheckpointStore store(directory.path(), 2);
  store.save_best(checkpoint_at(0, 3, 3));
  flip_a_bit(directory / "best-s00.safetensors");
  EXPECT_EQ(error_of([&] { store.load_best(0, "chain"); }), "data");
}

TEST(CheckpointKeeping, DamagedOnesArePassedOverAndUnreadableOnesAreNot) {
  testing::TemporaryDirectory directory;
  CheckpointStore store(directory.path(), 4);
  for (const int64_t step : {2, 4, 6, 8}) store.save(checkpoint_at(0, step, step));
  flip_a_bit(directory / "checkpoint-s00-e00000-i0000008.safetensors");
  EXPECT_EQ(steps_of(store.load_latest("chain")), 6);
  flip_a_bit(directory / "checkpoint-s00-e00000-i0000006.json");
  EXPECT_EQ(steps_of(store.load_latest("chain")), 4);
  make_unreadable(directory / "checkpoint-s00-e00000-i0000004.json");
  EXPECT_EQ(error_of([&] { store.load_latest("chain"); }), "storage") << "it may be whole";
}

TEST(CheckpointKeeping, ARecordWithWrongTypesIsDamaged) {
  testing::TemporaryDirectory directory;
  CheckpointStore store(directory.path(), 2);
  for (const int64_t step : {2, 4}) store.save(checkpoint_at(0, step, step));
  const std::filesystem::path record = directory / "checkpoint-s00-e00000-i0000004.json";
  std::string text = read_file(record);
  const size_t from = text.find("\"format\": 1");
  ASSERT_NE(from, std::string::npos);
  write_file_atomically(record, text.replace(from, 11, "\"format\": []"));
  EXPECT_EQ(steps_of(store.load_latest("chain")), 2);
  EXPECT_EQ(CheckpointStore::verify(directory.path()).size(), 1u);
}

TEST(CheckpointKeeping, ADamagedNewestOnePushesOutNoGoodOnes) {
  testing::TemporaryDirectory directory;
  {
    CheckpointStore before(directory.path(), 2);
    for (const int64_t step : {2, 6}) before.save(checkpoint_at(0, step, step));
  }
  flip_a_bit(directory / "checkpoint-s00-e00000-i0000006.safetensors");
  CheckpointStore store(directory.path(), 1);
  EXPECT_EQ(steps_of(store.load_latest("chain")), 2);
  store.save(checkpoint_at(0, 4, 4));
  EXPECT_EQ(steps_of(store.load_latest("chain")), 4);
  EXPECT_TRUE(CheckpointStore::verify(directory.path()).empty()) << "the damaged one is gone";
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory.path()), {}), 2);
}

TEST(CheckpointKeeping, AnotherRanksRecordIsLoadedThoughItIsNotListed) {
  testing::TemporaryDirectory directory;
  CheckpointStore store(directory.path(), 2);
  store.save(checkpoint_at(0, 2, 2));
  store.save_best(checkpoint_at(0, 2, 2));
  store.save_best(checkpoint_at(0, 4, 4));
  const auto latest = store.load_latest("chain");
  const auto best = store.load_best(0, "chain");
  ASSERT_TRUE(latest && best);
  for (const char* name : {"checkpoint-s00-e00000-i0000002.json", "best-s00.json"})
    std::filesystem::remove(directory / name);
  EXPECT_EQ(steps_of(store.load(latest->record)), 2);
  EXPECT_EQ(steps_of(store.load(best->record)), 4);
  store.save(checkpoint_at(0, 2, 5));
  EXPECT_EQ(error_of([&] { store.load(latest->record); }), "data")
      << "other tensors under its name";
}

TEST(CheckpointKeeping, WhatCannotBeTrustedGoes) {
  testing::TemporaryDirectory directory;
  CheckpointStore store(directory.path(), 5);
  for (const int64_t step : {2, 4, 6}) store.save(checkpoint_at(0, step, step));
  store.save_best(checkpoint_at(0, 6, 6));
  EXPECT_EQ(store.remove_after(4), 2) << "a checkpoint and the best epoch";
  EXPECT_EQ(steps_of(store.load_latest("chain")), 4);
  EXPECT_EQ(steps_of(store.load_best(0, "chain")), -1);
  EXPECT_EQ(store.remove_after(4), 0);
}

TEST(CheckpointKeeping, TheNewestThatIsKnownToBeRightStays) {
  testing::TemporaryDirectory directory;
  CheckpointStore store(directory.path(), 1);
  store.trust(4);
  for (const int64_t step : {2, 4, 6, 8}) store.save(checkpoint_at(0, step, step));
  EXPECT_EQ(steps_of(store.load_latest("chain")), 8);
  EXPECT_EQ(store.remove_after(4), 1);
  EXPECT_EQ(steps_of(store.load_latest("chain")), 4);
  store.trust(10);
  store.save(checkpoint_at(0, 9, 9));
  EXPECT_EQ(store.remove_after(8), 1) << "one that is trusted and new needs no older one";
  EXPECT_EQ(steps_of(store.load_latest("chain")), -1);
}

TEST(CheckpointKeeping, ReplacingKeepsOneRecordAndOneFileOfTensors) {
  testing::TemporaryDirectory directory;
  CheckpointStore store(directory.path(), 1);
  for (int64_t i = 1; i <= 3; ++i) {
    store.save_best(checkpoint_at(0, 1, i));
    EXPECT_EQ(steps_of(store.load_best(0, "chain")), i);
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory.path()), {}), 2);
  }
  store.remove_all();
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
}

TEST(CheckpointKeeping, RecordsOfEarlierVersionsAreRead) {
  testing::TemporaryDirectory directory;
  CheckpointStore store(directory.path(), 1);
  store.save(checkpoint_at(0, 1, 1));
  // Earlier records did not name the file of their tensors.
  for (const auto& entry : std::filesystem::directory_iterator(directory.path())) {
    if (entry.path().extension() != ".json") continue;
    std::string text = read_file(entry.path());
    const size_t from = text.find(" \"tensors\"");
    ASSERT_NE(from, std::string::npos);
    const size_t comma = text.rfind(',', from);
    text.erase(comma, text.find('\n', from) - comma);
    write_file_atomically(entry.path(), text);
  }
  EXPECT_EQ(steps_of(store.load_latest("chain")), 1);
}

}  // namespace
}  // namespace baleen
