// Every write, sync and rename of a checkpoint and of a journal record fails in turn: what is on
// the disk afterwards is the old state or the new one.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "core/base/error.h"
#include "core/training/checkpoint.h"
#include "data/prediction_table.h"
#include "experiments/journal.h"
#include "tests/faults/file_faults.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

using testing::FileCall;
using testing::FileFault;
using ::testing::HasSubstr;

Checkpoint checkpoint_of(int64_t step, float value) {
  Checkpoint checkpoint;
  checkpoint.state.identity = "chain";
  checkpoint.state.progress.next_step = step;
  checkpoint.state.chain_steps = step;
  // More than the writer's buffer, so that there are several writes.
  checkpoint.tensors = {{"model.w", at::full({300, 300}, value, at::kFloat)},
                        {"model.b", at::full({7}, value, at::kFloat)}};
  return checkpoint;
}

float value_of(const std::optional<Checkpoint>& checkpoint) {
  if (!checkpoint) return -1;
  EXPECT_EQ(checkpoint->tensors.size(), 2u);
  const float first = checkpoint->tensors.front().second.flatten()[0].item<float>();
  for (const auto& [name, tensor] : checkpoint->tensors)
    EXPECT_TRUE((tensor == first).all().item<bool>()) << "a mixture: " << name;
  return first;
}

std::string describe(const FileFault& fault) {
  const char* call = fault.call == FileCall::kWrite  ? "write"
                     : fault.call == FileCall::kSync ? "sync"
                                                     : "rename";
  return fmt::format("{} number {}, errno {}{}", call, fault.number, fault.error,
                     fault.cut_short ? ", cut short" : "");
}

/// Runs `attempt(fault)` with the n-th call failing, for every n and error, until none is left to
/// fail. It returns how many calls there were.
template <class Attempt>
int64_t fail_every_call(Attempt&& attempt) {
  int64_t failures = 0;
  for (const FileCall call : {FileCall::kWrite, FileCall::kSync, FileCall::kRename}) {
    for (const auto& [error, cut_short] :
         {std::pair(EIO, false), std::pair(ENOSPC, false), std::pair(ENOSPC, true)}) {
      if (cut_short && call != FileCall::kWrite) continue;
      for (int64_t number = 1;; ++number) {
        FileFault fault{.call = call, .number = number, .error = error, .cut_short = cut_short};
        SCOPED_TRACE(describe(fault));
        if (attempt(fault) < number) break;
        ++failures;
        if (::testing::Test::HasFailure() || number > 200) return failures;
      }
    }
  }
  return failures;
}

/// Runs the action under the fault. @returns whether it threw; the message must name a file in
/// `directory`.
template <class Action>
std::pair<bool, int64_t> under(const FileFault& fault, const std::filesystem::path& directory,
                               Action&& action) {
  testing::arm(fault);
  try {
    action();
  } catch (const Error& error) {
    const int64_t calls = testing::disarm();
    EXPECT_EQ(error.kind(), ErrorKind::kStorage) << error.what();
    EXPECT_THAT(error.message(), HasSubstr(directory.string()));
    return {true, calls};
  }
  return {false, testing::disarm()};
}

int64_t num_hidden(const std::filesystem::path& directory) {
  int64_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory))
    if (entry.path().filename().string().starts_with('.')) ++count;
  return count;
}

class WriteFailures : public ::testing::TestWithParam<int64_t> {};

/// The parameter: steps from the old checkpoint to the new one; 0: it replaces one of its name.
TEST_P(WriteFailures, LeaveTheOldCheckpointOrTheNewOne) {
  const int64_t failures = fail_every_call([&](const FileFault& fault) {
    testing::TemporaryDirectory directory;
    CheckpointStore store(directory / "chain", 1);
    store.save_best(checkpoint_of(1, 1));
    store.save_start(checkpoint_of(1, 1));
    store.save(checkpoint_of(1, 1));
    const Checkpoint next = checkpoint_of(1 + GetParam(), 2);
    const auto [threw, calls] = under(fault, directory.path(), [&] {
      store.save_best(next);
      store.save_start(next);
      store.save(next);
    });
    const float latest = value_of(store.load_latest("chain"));
    const float best = value_of(store.load_best(0, "chain"));
    const float start = value_of(store.load_start(0, 0, "chain"));
    EXPECT_TRUE(latest == 1 || latest == 2) << latest;
    EXPECT_TRUE(best == 1 || best == 2) << best;
    EXPECT_TRUE(start == 1 || start == 2) << start;
    EXPECT_LE(latest, best) << "they are written in this order";
    EXPECT_TRUE(threw || latest == 2);
    EXPECT_TRUE(CheckpointStore::verify(directory / "chain").empty());
    EXPECT_EQ(num_hidden(directory / "chain"), 0) << "a temporary file is left";
    // The disk is well again.
    store.save_best(checkpoint_of(9, 3));
    store.save(checkpoint_of(9, 3));
    EXPECT_EQ(value_of(store.load_latest("chain")), 3);
    EXPECT_EQ(value_of(store.load_best(0, "chain")), 3);
    return calls;
  });
  EXPECT_GT(failures, 30);
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, WriteFailures, ::testing::Values(0, 1));

TEST(WriteFailures, LeaveTheOldJournalOrTheNewOne) {
  const int64_t failures = fail_every_call([&](const FileFault& fault) {
    testing::TemporaryDirectory directory;
    const std::filesystem::path file = directory / "journal.jsonl";
    Journal journal(file);
    const auto record_of = [](const std::string& name) {
      JournalRecord record;
      record.kind = JournalRecord::Kind::kChainFinished;
      record.name = name;
      record.digests["weights"] = std::string(500, 'a');
      return record;
    };
    journal.append(record_of("a"));
    const auto [threw, calls] =
        under(fault, directory.path(), [&] { journal.append(record_of("b")); });
    bool torn = false;
    const std::vector<std::string> read = read_journal(file, &torn).finished_names();
    EXPECT_FALSE(torn);
    EXPECT_EQ(read, threw ? (std::vector<std::string>{"a"}) : (std::vector<std::string>{"a", "b"}));
    EXPECT_EQ(journal.state().finished_names(), read) << "memory and disk agree";
    journal.append(record_of("c"));
    Journal again(file);
    EXPECT_EQ(again.state().finished_names().size(), read.size() + 1);
    return calls;
  });
  EXPECT_GE(failures, 5);
}

TEST(WriteFailures, LeaveTheOldPredictionsOrTheNewOnes) {
  const auto table_of = [](float value) {
    PredictionTable table("net", {"a", "b"}, 3);
    table.add({"a", "b"}, at::full({2, 3}, value, at::kFloat));
    return table;
  };
  const int64_t failures = fail_every_call([&](const FileFault& fault) {
    testing::TemporaryDirectory directory;
    const std::filesystem::path file = directory / "oof.h5";
    table_of(0.25F).write(file);
    const auto [threw, calls] = under(fault, directory.path(), [&] { table_of(0.5F).write(file); });
    const at::Tensor values = PredictionTable::read(file).values();
    const float first = values[0][0].item<float>();
    EXPECT_TRUE((values == first).all().item<bool>());
    EXPECT_TRUE(first == 0.5F || (threw && first == 0.25F)) << first;
    EXPECT_EQ(num_hidden(directory.path()), 0);
    return calls;
  });
  EXPECT_GT(failures, 3);
}

}  // namespace
}  // namespace baleen
