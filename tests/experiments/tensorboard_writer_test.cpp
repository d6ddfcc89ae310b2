#include "experiments/records/tensorboard_writer.h"

#include <cmath>

#include "core/base/error.h"
#include "tests/experiments/oracle.h"

namespace baleen {
namespace {

TEST(TensorBoardWriter, TensorBoardReadsTheScalars) {
  const testing::TemporaryDirectory folder;
  {
    TensorBoardWriter writer(folder / "tb");
    for (int64_t epoch = 1; epoch <= 200; ++epoch) {
      writer.add({.size_px = 64,
                  .step = epoch * 1000000,  // a varint of several bytes
                  .lr = 0.1,
                  .train_loss = 1.0 / double(epoch),
                  .val = {{"f2", epoch == 3 ? NAN : 0.5}},
                  .samples_per_s = 100,
                  .time_s = 1.7e9 + double(epoch)});
    }
  }
  const auto read = testing::ask_oracle("tensorboard_events.py", (folder / "tb").string());
  if (!read) GTEST_SKIP() << "BALEEN_PYTHON is not set";
  EXPECT_EQ((*read)["file_version"].get<double>(), 2);
  const auto& scalars = (*read)["scalars"];
  EXPECT_EQ(scalars.size(), 5u);
  ASSERT_EQ(scalars["train/loss"].size(), 200u);
  for (size_t i = 0; i < 200; ++i) {
    const auto& point = scalars["train/loss"][i];
    EXPECT_EQ(point[0].get<int64_t>(), int64_t(i + 1) * 1000000);
    EXPECT_EQ(point[1].get<float>(), static_cast<float>(1.0 / double(i + 1)));
    EXPECT_EQ(point[2].get<double>(), 1.7e9 + double(i + 1));
  }
  EXPECT_EQ(scalars["val/f2"].size(), 199u) << "what is not finite is left out";
  EXPECT_EQ(scalars["train/size_px"][0][1].get<double>(), 64);
}

TEST(TensorBoardWriter, ARestartHidesWhatIsRunAgain) {
  const testing::TemporaryDirectory folder;
  {
    TensorBoardWriter writer(folder / "tb");
    for (int64_t step = 1; step <= 5; ++step) writer.add_scalar("x", 1, step, double(step));
  }
  {
    TensorBoardWriter writer(folder / "tb", 4);
    for (int64_t step = 4; step <= 6; ++step) writer.add_scalar("x", 2, step, double(step));
  }
  const auto read = testing::ask_oracle("tensorboard_events.py", (folder / "tb").string());
  if (!read) GTEST_SKIP() << "BALEEN_PYTHON is not set";
  std::vector<double> values;
  for (const auto& point : (*read)["scalars"]["x"]) values.push_back(point[1]);
  EXPECT_EQ(values, (std::vector<double>{1, 1, 1, 2, 2, 2}));
}

TEST(TensorBoardWriter, AFolderThatCannotBeMadeIsNamed) {
  const testing::TemporaryDirectory folder;
  std::ofstream(folder / "file") << "x";
  try {
    TensorBoardWriter writer(folder / "file");
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kStorage);
    EXPECT_NE(error.message().find("file"), std::string::npos);
  }
}

}  // namespace
}  // namespace baleen
