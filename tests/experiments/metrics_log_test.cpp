#include "experiments/records/metrics_log.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <sstream>

#include "core/base/error.h"
#include "core/base/logging.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

MetricsRecord example(const std::string& chain, int64_t epoch) {
  return {.run = "planet",
          .chain = chain,
          .backbone = "resnet18",
          .fold = 2,
          .stage = 1,
          .size_px = 96,
          .epoch = epoch,
          .step = epoch * 33,
          .lr = 0.1 / 3,
          .train_loss = 0.25,
          .val = {{"f2", 0.875}, {"loss", 0.125}},
          .samples_per_s = 512.5,
          .seconds = 12.25,
          .time_s = 1700000000.5};
}

std::string text_of(const std::filesystem::path& file) {
  std::stringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

TEST(MetricsLog, KeepsEveryField) {
  const testing::TemporaryDirectory folder;
  const auto file = folder / "metrics.jsonl";
  MetricsRecord strange = example("a \"quoted\" näme\n", 1);
  strange.train_loss = NAN;
  strange.val = {{"f2", INFINITY}};
  {
    MetricsLog log(file);
    log.append(example("resnet18-f2-s1", 7));
    log.append(strange);
  }
  const std::vector<MetricsRecord> read = read_metrics(file);
  ASSERT_EQ(read.size(), 2u);
  const MetricsRecord& r = read[0];
  const MetricsRecord expected = example("resnet18-f2-s1", 7);
  EXPECT_EQ(std::tie(r.run, r.chain, r.backbone, r.fold, r.stage, r.size_px, r.epoch, r.step),
            std::tie(expected.run, expected.chain, expected.backbone, expected.fold, expected.stage,
                     expected.size_px, expected.epoch, expected.step));
  EXPECT_EQ(std::tie(r.lr, r.train_loss, r.val, r.samples_per_s, r.seconds, r.time_s),
            std::tie(expected.lr, expected.train_loss, expected.val, expected.samples_per_s,
                     expected.seconds, expected.time_s));
  EXPECT_EQ(read[1].chain, strange.chain);
  EXPECT_TRUE(std::isnan(read[1].train_loss));
  EXPECT_TRUE(std::isnan(read[1].val.at("f2")));
}

TEST(MetricsLog, ATornLastLineIsIgnoredAndCutOff) {
  configure_logging({.console_level = LogLevel::kError});  // hundreds of warnings that are expected
  const testing::TemporaryDirectory folder;
  const auto file = folder / "metrics.jsonl";
  {
    MetricsLog log(file);
    log.append(example("a", 1));
    log.append(example("a", 2));
  }
  const std::string whole = text_of(file);
  const size_t first_line = whole.find('\n') + 1;
  for (size_t length = 0; length < whole.size(); ++length) {
    std::ofstream(file, std::ios::trunc) << whole.substr(0, length);
    const size_t expected = length < first_line ? 0 : 1;
    ASSERT_EQ(read_metrics(file).size(), expected) << length;
    {
      MetricsLog log(file);
      log.append(example("a", 3));
    }
    const auto records = read_metrics(file);
    ASSERT_EQ(records.size(), expected + 1) << length;
    ASSERT_EQ(records.back().epoch, 3);
  }
}

TEST(MetricsLog, DamageElsewhereIsNamed) {
  const testing::TemporaryDirectory folder;
  const auto file = folder / "metrics.jsonl";
  { MetricsLog(file).append(example("a", 1)); }
  std::ofstream(file, std::ios::app) << "{\"run\": 3\n" << text_of(file);
  try {
    read_metrics(file);
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kData);
    EXPECT_NE(error.message().find("metrics.jsonl:2"), std::string::npos) << error.message();
  }
  EXPECT_THROW(read_metrics(folder / "none.jsonl"), Error);
  EXPECT_THROW(MetricsLog(folder / "no-folder/metrics.jsonl"), Error);
}

TEST(MetricsLog, RepeatedEpochsCountOnce) {
  std::vector<MetricsRecord> records = {example("b", 1), example("a", 1), example("b", 2),
                                        example("b", 3), example("b", 2)};
  records.back().train_loss = 0.5;
  const auto latest = latest_records(records);
  ASSERT_EQ(latest.size(), 4u);
  EXPECT_EQ(latest[1].chain, "b");
  EXPECT_EQ(latest[1].epoch, 2);
  EXPECT_EQ(latest[1].train_loss, 0.5);
  EXPECT_EQ(latest[3].chain, "a");
}

TEST(MetricsLog, CsvHasAColumnForEachMetric) {
  const testing::TemporaryDirectory folder;
  MetricsRecord other = example("with,comma", 2);
  other.val = {{"accuracy", 0.5}, {"loss", NAN}};
  write_metrics_csv(folder / "metrics.csv", {example("a", 1), other});
  EXPECT_EQ(
      text_of(folder / "metrics.csv"),
      "run,chain,backbone,fold,stage,size_px,epoch,step,lr,train_loss,val_accuracy,val_f2,val_loss,"
      "samples_per_s,seconds,time_s\n"
      "planet,a,resnet18,2,1,96,1,33,0.03333333333333333,0.25,,0.875,0.125,512.5,12.25,1700000000."
      "500\n"
      "planet,\"with,comma\",resnet18,2,1,96,2,66,0.03333333333333333,0.25,0.5,,,512.5,12.25,"
      "1700000000.500\n");
}

}  // namespace
}  // namespace baleen
