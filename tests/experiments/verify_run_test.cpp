#include "experiments/verify_run.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "core/base/atomic_file.h"
#include "core/training/checkpoint.h"
#include "experiments/journal.h"
#include "experiments/run_directory.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class VerifyRun : public ::testing::Test {
 protected:
  void SetUp() override {
    Plan plan;
    plan.name = "run";
    plan.hash = "h1";
    open_run_directory(run_, {}, plan, "name: run\n");
    Journal journal(run_.journal());
    JournalRecord record;
    record.kind = JournalRecord::Kind::kRunStarted;
    record.plan_hash = plan.hash;
    journal.append(record);
  }

  void save_checkpoint(const std::string& chain) {
    Checkpoint checkpoint;
    checkpoint.state.identity = "chain";
    checkpoint.tensors = {{"model.w", at::ones({8, 8}, at::kFloat)}};
    CheckpointStore(run_.chain(chain), 1).save(checkpoint);
  }

  void damage_tensors(const std::string& chain) {
    for (const auto& entry : std::filesystem::directory_iterator(run_.chain(chain))) {
      if (entry.path().extension() != ".safetensors") continue;
      std::string content = read_file(entry.path());
      content.back() ^= 1;
      std::ofstream(entry.path(), std::ios::binary) << content;
    }
  }

  testing::TemporaryDirectory directory_;
  RunDirectory run_{directory_ / "run"};
};

TEST_F(VerifyRun, ADamagedCheckpointIsFoundInATrialOfASweepToo) {
  for (const char* chain : {"net-f0-s1", "0007/net-f0-s1", "0007/net-f1-s1"})
    save_checkpoint(chain);
  EXPECT_THAT(verify_run(run_.root()), IsEmpty());
  damage_tensors("0007/net-f1-s1");
  EXPECT_THAT(verify_run(run_.root()), ElementsAre(HasSubstr("trials/0007/chains/net-f1-s1")));
  damage_tensors("net-f0-s1");
  EXPECT_THAT(verify_run(run_.root()), ElementsAre(HasSubstr("run/chains/net-f0-s1"),
                                                   HasSubstr("trials/0007/chains/net-f1-s1")));
}

}  // namespace
}  // namespace baleen
