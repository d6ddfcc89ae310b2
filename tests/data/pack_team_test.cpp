// Packing by several processes, in several starts, and in several instalments.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <map>

#include "core/base/digest.h"
#include "data/manifest.h"
#include "data/pack/pack.h"
#include "data/packed_dataset.h"
#include "data/verify.h"
#include "tests/data/dataset_files.h"
#include "tests/data/thread_team.h"

namespace baleen {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using testing::error_of;
using testing::files_of;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::picture;
using testing::read_text;
using testing::tagged_chips;
using testing::TemporaryDirectory;
using testing::ThreadTeam;
using testing::write_png;
using testing::write_text;

PackOptions small_shards(const TemporaryDirectory& directory, int n = 43) {
  PackOptions options = tagged_chips(directory, n);
  options.shard_samples = 6;
  options.bad_images = "quarantine";
  return options;
}

std::string message_of(const std::exception_ptr& failure) {
  try {
    if (failure) std::rethrow_exception(failure);
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

TEST(PackTeamTest, AnyNumberOfRanksAndThreadsMakesTheSameBytesBadImagesIncluded) {
  TemporaryDirectory directory;
  PackOptions options = small_shards(directory);
  for (const int bad : {0, 11, 13, 42})
    write_text(directory / "chips" / ("chip_" + std::to_string(bad) + ".png"), "no picture");
  for (int bad = 24; bad < 30; ++bad)  // a whole shard
    write_text(directory / "chips" / ("chip_" + std::to_string(bad) + ".png"), "");
  pack_dataset(options);
  const auto reference = files_of(options.output);
  EXPECT_EQ(read_manifest(options.output).rows, 33);
  EXPECT_EQ(read_manifest(options.output).num_quarantined, 10);
  EXPECT_FALSE(reference.contains("shard-004.h5"));
  EXPECT_THAT(verify_dataset(options.output), IsEmpty());
  for (const int64_t ranks : {2, 3, 4, 16}) {
    PackOptions again = options;
    again.output = (directory / ("by" + std::to_string(ranks))).string();
    again.threads = ranks % 3 + 1;
    std::atomic<int64_t> rows = 0;
    const auto failures = ThreadTeam(ranks).run([&](const PackTeam& team) {
      PackControl control;
      control.team = team;
      const PackSummary summary = pack_dataset(again, control);
      if (team.rank == 0) rows = summary.parts.at(0).rows;
    });
    for (const auto& failure : failures) EXPECT_EQ(message_of(failure), "");
    EXPECT_EQ(rows, 33);
    EXPECT_EQ(files_of(again.output), reference) << ranks << " ranks";
    EXPECT_FALSE(fs::exists(again.output + ".packing"));
    EXPECT_FALSE(fs::exists(again.output + ".packing.lock"));
  }
}

TEST(PackTeamTest, AFailureAnywhereEndsAllRanksAndOneSaysWhy) {
  TemporaryDirectory directory;
  PackOptions options = small_shards(directory, 60);
  options.threads = 1;
  for (const int64_t culprit : {0, 2}) {
    std::atomic<int> images = 0;
    const auto failures = ThreadTeam(3).run([&](const PackTeam& team) {
      PackControl control;
      control.team = team;
      // A full disk, say, on one rank only; the others would have work for much longer.
      control.stop_requested = [&, rank = team.rank] {
        if (rank == culprit && ++images == 3) throw Error(ErrorKind::kStorage, "the disk is full");
        std::this_thread::sleep_for(std::chrono::milliseconds(rank == culprit ? 0 : 30));
        return false;
      };
      pack_dataset(options, control);
    });
    for (int64_t rank = 0; rank < 3; ++rank) {
      const std::string message = message_of(failures[static_cast<size_t>(rank)]);
      EXPECT_THAT(message, HasSubstr(rank == culprit ? "the disk is full" : "another rank"));
    }
    EXPECT_FALSE(fs::exists(options.output));
    EXPECT_FALSE(fs::exists(options.output + ".packing.lock"));
  }
  pack_dataset(options);
  EXPECT_EQ(PackedDataset::open(options.output)->size(), 60);
}

TEST(PackTeamTest, BadImagesOfAllRanksAreNamedTogether) {
  TemporaryDirectory directory;
  PackOptions options = small_shards(directory);
  options.bad_images = "fail";
  for (const int bad : {3, 40})
    write_text(directory / "chips" / ("chip_" + std::to_string(bad) + ".png"), "");
  const auto failures = ThreadTeam(4).run([&](const PackTeam& team) {
    PackControl control;
    control.team = team;
    pack_dataset(options, control);
  });
  EXPECT_THAT(message_of(failures[0]), HasSubstr("2 of 43 images"));
  EXPECT_THAT(message_of(failures[0]), HasSubstr("chip_3.png"));
  EXPECT_THAT(message_of(failures[0]), HasSubstr("chip_40.png"));
  EXPECT_THAT(message_of(failures[3]), HasSubstr("another rank"));

  // The good shards need not be made again, whether the files are repaired or left out.
  options.bad_images = "quarantine";
  EXPECT_EQ(pack_dataset(options).resumed, 43 - 2 * 6);
  EXPECT_EQ(read_manifest(options.output).rows, 41);
}

TEST(PackTeamTest, AnInterruptedPackGoesOnAndEndsWithTheSameBytes) {
  TemporaryDirectory directory;
  PackOptions options = small_shards(directory);
  write_text(directory / "chips" / "chip_1.png", "");
  pack_dataset(options);
  const auto reference = files_of(options.output);
  options.output = (directory / "again").string();
  int64_t starts = 0;
  int64_t resumed = 0;
  for (bool complete = false; !complete; ++starts) {
    ASSERT_LT(starts, 20);
    int images = 0;
    try {
      PackControl control;
      control.stop_requested = [&] { return ++images > 9; };
      const PackSummary summary = pack_dataset(options, control);
      resumed = summary.resumed;
      EXPECT_THAT(summary.text(), HasSubstr("earlier start"));
      complete = true;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInterrupted);
      EXPECT_THAT(error.hint(), HasSubstr("same command"));
      EXPECT_FALSE(fs::exists(options.output));
    }
  }
  EXPECT_GT(starts, 4);
  EXPECT_GT(resumed, 30);
  EXPECT_EQ(files_of(options.output), reference);
}

TEST(PackTeamTest, AKilledPackLeavesFinishedShardsOnly) {
  TemporaryDirectory directory;
  PackOptions options = small_shards(directory);
  pack_dataset(options);
  const auto reference = files_of(options.output);
  options.output = (directory / "again").string();
  options.threads = 1;
  for (const int last_image : {1, 7, 20, 42}) {
    const pid_t child = fork();
    if (child == 0) {
      int images = 0;
      PackControl control;
      control.stop_requested = [&] {
        if (++images == last_image) ::kill(::getpid(), SIGKILL);
        return false;
      };
      pack_dataset(options, control);
      ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status));
    EXPECT_TRUE(fs::exists(options.output + ".packing.lock")) << "left by the killed process";
    const PackSummary summary = pack_dataset(options);
    EXPECT_EQ(summary.resumed, last_image / 6 * 6 - (last_image % 6 == 0 ? 6 : 0));
    EXPECT_EQ(files_of(options.output), reference) << "killed at image " << last_image;
    EXPECT_FALSE(fs::exists(options.output + ".packing"));
    EXPECT_FALSE(fs::exists(options.output + ".packing.lock"));
    fs::remove_all(options.output);
  }
}

TEST(PackTeamTest, ShardsOfOtherSourcesOrOptionsAreMadeAgain) {
  TemporaryDirectory directory;
  PackOptions options = small_shards(directory);
  const auto stop_after = [&](int n) {
    return error_of([&, images = 0]() mutable {
      PackControl control;
      control.stop_requested = [&] { return ++images > n; };
      pack_dataset(options, control);
    });
  };
  EXPECT_EQ(stop_after(30).kind(), ErrorKind::kInterrupted);
  write_png(directory / "chips" / "chip_2.png",
            picture(16, 16, 3, 77));  // in the first of 5 shards
  const fs::path torn = directory / "packed.packing" / "shard-002.h5";
  fs::resize_file(torn, fs::file_size(torn) - 1);
  write_text(directory / "packed.packing" / "shard-003.h5.done", "{\"torn");
  write_text(directory / "packed.packing" / "foreign", "");
  const PackSummary summary = pack_dataset(options);
  EXPECT_EQ(summary.resumed, 2 * 6) << "shards 1 and 4";
  std::vector<uint8_t> scratch;
  EXPECT_EQ(Image(PackedDataset::open(options.output)->image(2, 16, scratch)).pixels,
            picture(16, 16, 3, 77).pixels);
  EXPECT_FALSE(fs::exists(directory / "packed" / "foreign"));
  EXPECT_THAT(verify_dataset(options.output), IsEmpty());

  fs::remove_all(options.output);
  EXPECT_EQ(stop_after(30).kind(), ErrorKind::kInterrupted);
  options.channels = 1;
  EXPECT_EQ(pack_dataset(options).resumed, 0);
}

TEST(PackTeamTest, ASecondPackerIsToldWhoIsAtWork) {
  TemporaryDirectory directory;
  const PackOptions options = small_shards(directory);
  PackControl control;
  bool tried = false;
  control.stop_requested = [&] {
    if (!tried) {
      const Error error = error_of([&] { pack_dataset(options); });
      EXPECT_EQ(error.kind(), ErrorKind::kUsage);
      EXPECT_THAT(error.message(),
                  HasSubstr("process " + std::to_string(::getpid()) + " on host "));
    }
    tried = true;
    return false;
  };
  pack_dataset(options, control);
  EXPECT_TRUE(tried);
  EXPECT_EQ(PackedDataset::open(options.output)->size(), 43);
}

// Chips 0 … n-1 with their table, whatever was there before.
void write_chips(const TemporaryDirectory& directory, int first, int n) {
  std::string csv = "image,tags\n";
  for (int i = 0; i < n; ++i) {
    const std::string name = "chip_" + std::to_string(i);
    if (i >= first) write_png(directory / "chips" / (name + ".png"), picture(16, 16, 3, i));
    csv += name + (i % 3 == 0 ? ",primary water\n" : ",primary\n");
  }
  write_text(directory / "tags.csv", csv);
}

TEST(PackAppendTest, NewSamplesBecomeFurtherShardsAndOldOnesStayAsTheyAre) {
  TemporaryDirectory directory;
  PackOptions options = small_shards(directory, 1);
  write_chips(directory, 0, 20);
  write_text(directory / "chips" / "chip_4.png", "");
  PackControl append;
  append.append = true;
  EXPECT_FALSE(pack_dataset(options, append).parts[0].appended) << "nothing is there: a plain pack";
  const auto before = files_of(options.output);
  const auto old_reader = PackedDataset::open(options.output);

  write_chips(directory, 20, 33);
  write_text(directory / "chips" / "chip_30.png", "");
  const PackSummary summary = pack_dataset(options, append);
  EXPECT_TRUE(summary.parts[0].appended);
  EXPECT_EQ(summary.parts[0].num_new, 12);
  EXPECT_EQ(summary.images, 13);
  const auto after = files_of(options.output);
  for (const auto& [name, bytes] : before)
    if (name.starts_with("shard")) {
      EXPECT_EQ(after.at(name), bytes) << name;
    }
  const Manifest manifest = read_manifest(options.output);
  EXPECT_EQ(manifest.rows, 31);
  EXPECT_EQ(manifest.num_quarantined, 2);
  EXPECT_THAT(manifest.label_counts, ElementsAre(31, 10)) << "30 is bad, and one of the third";
  EXPECT_THAT(verify_dataset(options.output), IsEmpty());
  EXPECT_THAT(after.at("quarantine.csv"), ::testing::ContainsRegex("chip_4,.*\nchip_30,"));
  const auto reader = PackedDataset::open(options.output);
  std::vector<uint8_t> scratch;
  for (const int i : {0, 3, 19, 20, 32})
    EXPECT_EQ(Image(reader->image(reader->row_of("chip_" + std::to_string(i)), 16, scratch)).pixels,
              picture(16, 16, 3, i).pixels);
  EXPECT_EQ(Image(old_reader->image(5, 16, scratch)).height, 16) << "open readers stay whole";

  // The mean is that of a pack of everything at once, to the bit.
  PackOptions whole = options;
  whole.output = (directory / "whole").string();
  pack_dataset(whole);
  EXPECT_EQ(read_manifest(whole.output).mean_colour, manifest.mean_colour);
  EXPECT_TRUE(pack_dataset(options, append).already_complete());
  EXPECT_TRUE(pack_dataset(options).already_complete()) << "all of these sources are in it";
}

TEST(PackAppendTest, AnyNumberOfRanksAppendsTheSameBytesAndAKilledOneGoesOn) {
  TemporaryDirectory directory;
  PackOptions options = small_shards(directory, 1);
  write_chips(directory, 0, 10);
  pack_dataset(options);
  fs::copy(directory / "packed", directory / "copy");
  write_chips(directory, 10, 40);
  PackControl append;
  append.append = true;
  pack_dataset(options, append);
  const auto reference = files_of(directory / "packed");
  options.output = (directory / "copy").string();
  const Error stopped = error_of([&, images = 0]() mutable {
    PackControl control = append;
    control.stop_requested = [&] { return ++images > 13; };
    pack_dataset(options, control);
  });
  EXPECT_EQ(stopped.kind(), ErrorKind::kInterrupted);
  EXPECT_EQ(PackedDataset::open(options.output)->size(), 10) << "the old dataset, whole";
  EXPECT_THAT(verify_dataset(options.output), IsEmpty());
  // As a killed one would leave it that had begun to publish: shards are there, the manifest is
  // not.
  fs::copy(directory / "packed" / "shard-003.h5", directory / "copy" / "shard-003.h5");
  EXPECT_EQ(PackedDataset::open(options.output)->size(), 10);
  ThreadTeam(3).run([&](const PackTeam& team) {
    PackControl control = append;
    control.team = team;
    pack_dataset(options, control);
  });
  EXPECT_EQ(files_of(options.output), reference);
}

TEST(PackAppendTest, ChangedSamplesAndOtherOptionsAreRefusedAndRepairedOnesTaken) {
  TemporaryDirectory directory;
  PackOptions options = small_shards(directory, 1);
  write_chips(directory, 0, 10);
  write_text(directory / "chips" / "chip_4.png", "");
  pack_dataset(options);
  const auto before = files_of(options.output);
  PackControl append;
  append.append = true;

  write_chips(directory, 10, 12);
  write_png(directory / "chips" / "chip_7.png", picture(16, 16, 3, 99));
  const Error changed = error_of([&] { pack_dataset(options, append); });
  EXPECT_EQ(changed.kind(), ErrorKind::kData);
  EXPECT_THAT(changed.message(), HasSubstr("1 samples"));
  EXPECT_THAT(changed.message(), HasSubstr("chip_7"));
  EXPECT_EQ(files_of(options.output), before);

  // A table of nothing but the new ones does as well.
  write_text(directory / "tags.csv", "image,tags\nchip_10,water\nchip_4,primary\n");
  write_png(directory / "chips" / "chip_4.png", picture(16, 16, 3, 4));
  PackOptions others = options;
  others.encoding = "jpeg";
  const Error refused = error_of([&] { pack_dataset(others, append); });
  EXPECT_EQ(refused.kind(), ErrorKind::kConfiguration);
  EXPECT_THAT(refused.message(), HasSubstr("encoding: \"raw\" then, \"jpeg\" now"));
  pack_dataset(options, append);
  EXPECT_EQ(PackedDataset::open(options.output)->size(), 11);
  EXPECT_FALSE(fs::exists(directory / "packed" / "quarantine.csv")) << "chip_4 was repaired";
  EXPECT_THAT(verify_dataset(options.output), IsEmpty());

  write_png(directory / "chips" / "chip_11.png", picture(17, 16, 3, 4));
  write_text(directory / "tags.csv", "image,tags\nchip_11,water\n");
  options.bad_images = "fail";
  EXPECT_THAT(error_of([&] { pack_dataset(options, append); }).message(),
              HasSubstr("17 x 16 px, the dataset has 16 x 16"));
  write_text(directory / "tags.csv", "image,tags\nchip_11,unheard\n");
  EXPECT_THAT(error_of([&] { pack_dataset(options, append); }).message(), HasSubstr("'unheard'"));
}

}  // namespace
}  // namespace baleen
