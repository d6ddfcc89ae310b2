#include "experiments/prediction_parts.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/base/atomic_file.h"
#include "tests/experiments/memory_ranks.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

class PredictionPartsTest : public ::testing::Test {
 protected:
  PredictionTable table_of(const std::vector<std::string>& predicted) const {
    PredictionTable table("net", {"a", "b", "c", "d"}, 2);
    if (!predicted.empty())
      table.add(predicted, at::full({static_cast<int64_t>(predicted.size()), 2}, 0.5F));
    return table;
  }
  PredictionParts parts(const std::string& identity = "plan") const {
    return PredictionParts(directory_.path(), "oof", identity);
  }
  int64_t num_files() const {
    return std::distance(std::filesystem::directory_iterator(directory_.path()), {});
  }

  testing::TemporaryDirectory directory_;
  testing::MemoryRanks ranks_{1};
  std::shared_ptr<Communicator> group_ = ranks_.make_group(0, {0}, 0);
};

TEST_F(PredictionPartsTest, WhatEarlierStartsKeptIsPutTogether) {
  EXPECT_EQ(parts().load(table_of({}), *group_).num_written(), 0);
  parts().keep(table_of({"b"}), *group_, 0);
  parts().keep(table_of({"d", "a"}), *group_, 1);
  parts().keep(table_of({}), *group_, 3);  // nothing to keep
  EXPECT_EQ(num_files(), 2);
  const PredictionTable known = parts().load(table_of({}), *group_);
  EXPECT_EQ(known.num_written(), 3);
  EXPECT_TRUE(known.has("a") && known.has("b") && known.has("d"));
  EXPECT_FALSE(known.has("c"));
  PredictionParts::remove_all(directory_.path());
  EXPECT_EQ(num_files(), 0);
}

TEST_F(PredictionPartsTest, DamagedForeignAndDoubleRowsAreNotTaken) {
  parts("another plan").keep(table_of({"a"}), *group_, 0);
  EXPECT_EQ(parts().load(table_of({}), *group_).num_written(), 0);
  parts().keep(table_of({"a", "b"}), *group_, 0);
  parts().keep(table_of({"b", "c"}), *group_, 7);
  EXPECT_EQ(parts().load(table_of({}), *group_).num_written(), 2) << "b is not taken twice";
  for (const auto& entry : std::filesystem::directory_iterator(directory_.path())) {
    std::string bytes = read_file(entry.path());
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
    write_file_atomically(entry.path(), bytes);
  }
  EXPECT_EQ(parts().load(table_of({}), *group_).num_written(), 0);
}

TEST_F(PredictionPartsTest, ShortPredictionsLeaveNothing) {
  PredictionParts quick = parts();
  quick.keep_now_and_then(table_of({"a"}), *group_, 0);
  quick.keep_if_long(table_of({"a"}), *group_, 0);
  EXPECT_EQ(num_files(), 0);
  PredictionParts nowhere("", "oof", "plan");
  nowhere.keep(table_of({"a"}), *group_, 0);
  EXPECT_EQ(nowhere.load(table_of({}), *group_).num_written(), 0);
}

}  // namespace
}  // namespace baleen
