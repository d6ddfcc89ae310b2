#include "data/prediction_table.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <fstream>
#include <limits>
#include <sstream>

#include "tests/data/expect_error.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

using ::baleen::testing::expect_error;

std::string bytes_of(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  std::ostringstream bytes;
  bytes << stream.rdbuf();
  return bytes.str();
}

PredictionTable table_of(const std::vector<std::string>& ids) {
  return PredictionTable("resnet18/fold2", ids, 2);
}

TEST(PredictionTableTest, KeepsRowsByIdWhateverTheirOrder) {
  PredictionTable table = table_of({"a", "b", "c"});
  table.add({"c", "a"}, at::tensor({5.0f, 6.0f, 1.0f, 2.0f}).reshape({2, 2}));
  EXPECT_EQ(table.num_written(), 2);
  expect_error(ErrorKind::kData, {"resnet18/fold2", "1 of 3", "'b'"}, [&] { table.values(); });
  table.add({"b"}, at::tensor({3.0f, 4.0f}).reshape({1, 2}));
  EXPECT_TRUE(
      at::equal(table.values(), at::tensor({1.0f, 2.0f, 3.0f, 4.0f, 5.0f, 6.0f}).reshape({3, 2})));
}

TEST(PredictionTableTest, MistakesNameModelAndSample) {
  PredictionTable table = table_of({"a", "b"});
  table.add({"a"}, at::ones({1, 2}));
  expect_error(ErrorKind::kData, {"resnet18/fold2", "'a' was predicted twice"}, [&] {
    table.add({"a"}, at::ones({1, 2}));
  });
  expect_error(ErrorKind::kData, {"'z' was not to be predicted"}, [&] {
    table.add({"z"}, at::ones({1, 2}));
  });
  at::Tensor bad = at::ones({1, 2});
  bad[0][1] = std::numeric_limits<float>::quiet_NaN();
  expect_error(ErrorKind::kNumeric, {"resnet18/fold2", "'b'", "nan", "column 1"},
               [&] { table.add({"b"}, bad); });
  bad[0][1] = std::numeric_limits<float>::infinity();
  expect_error(ErrorKind::kNumeric, {"'b'", "inf"}, [&] { table.add({"b"}, bad); });
  expect_error(ErrorKind::kData, {"shape [1, 3]"}, [&] { table.add({"b"}, at::ones({1, 3})); });
  EXPECT_EQ(table.num_written(), 1);
  expect_error(ErrorKind::kData, {"'a' is to be predicted twice"}, [] { table_of({"a", "a"}); });
}

TEST(PredictionTableTest, PartsOfRanksAreMergedFromBytes) {
  const std::vector<std::string> ids = {"a", "b", "c", "d", "e"};
  const at::Tensor values = at::randn({5, 2});
  PredictionTable whole = table_of(ids);
  std::vector<std::string> parts;
  for (int64_t rank = 0; rank < 3; ++rank) {
    PredictionTable part = table_of(ids);
    for (int64_t n = rank; n < 5; n += 3)
      part.add({ids[static_cast<size_t>(n)]}, values.slice(0, n, n + 1));
    parts.push_back(part.serialise());
    EXPECT_EQ(parts.back(), part.serialise());
  }
  for (const std::string& part : parts) whole.merge(PredictionTable::deserialise(part));
  EXPECT_TRUE(at::equal(whole.values(), values));
  expect_error(ErrorKind::kData, {"predicted twice"},
               [&] { whole.merge(PredictionTable::deserialise(parts[0])); });
}

TEST(PredictionTableTest, AlteredBytesAreRefused) {
  PredictionTable table = table_of({"a", "b"});
  table.add({"a", "b"}, at::ones({2, 2}));
  const std::string bytes = table.serialise();
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string altered = bytes;
    altered[i] = static_cast<char>(altered[i] ^ 0x10);
    EXPECT_THROW(PredictionTable::deserialise(altered), Error) << "byte " << i;
    EXPECT_THROW(PredictionTable::deserialise(std::string_view(bytes).substr(0, i)), Error)
        << "length " << i;
  }
}

TEST(PredictionTableTest, FilesKeepTheTableAndAreTheSameBytes) {
  const testing::TemporaryDirectory directory;
  PredictionTable table = table_of({"a", "längere-id"});
  expect_error(ErrorKind::kData, {"2 of 2"}, [&] { table.write(directory / "t.h5"); });
  const at::Tensor values = at::randn({2, 2});
  table.add(table.ids(), values);
  table.write(directory / "t.h5");
  table.write(directory / "u.h5");
  EXPECT_EQ(bytes_of(directory / "t.h5"), bytes_of(directory / "u.h5"));
  const PredictionTable read = PredictionTable::read(directory / "t.h5");
  EXPECT_EQ(read.name(), "resnet18/fold2");
  EXPECT_EQ(read.ids(), table.ids());
  EXPECT_TRUE(at::equal(read.values(), values));
  std::ofstream(directory / "t.h5") << "not a table";
  expect_error(ErrorKind::kData, {"t.h5"}, [&] { PredictionTable::read(directory / "t.h5"); });
}

}  // namespace
}  // namespace baleen
