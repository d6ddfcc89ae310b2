// Preprocessing by several processes, in several starts, and in several instalments.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>

#include "data/manifest.h"
#include "data/pack/pack.h"
#include "data/packed_dataset.h"
#include "data/verify.h"
#include "tests/data/dataset_files.h"
#include "tests/data/thread_team.h"

namespace baleen {
namespace {

namespace fs = std::filesystem;
using testing::behind_haze;
using testing::error_of;
using testing::files_of;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::read_text;
using testing::scene;
using testing::TemporaryDirectory;
using testing::ThreadTeam;
using testing::write_jpeg;
using testing::write_png;
using testing::write_text;

// 21 scenes of a and 8 of b, two of which are the same and one unreadable: with every step of
// preprocessing that looks at more than one image, or makes more than one.
PackOptions everything(const TemporaryDirectory& directory, const std::string& encoding) {
  const fs::path folder = directory / "photos";
  for (int i = 0; i < 21; ++i)
    write_png(folder / "a" / (std::to_string(i) + ".png"),
              behind_haze(scene(32, 32, 3, static_cast<uint64_t>(i))));
  for (int i = 0; i < 6; ++i)
    write_png(folder / "b" / (std::to_string(i) + ".png"),
              scene(32, 32, 3, static_cast<uint64_t>(100 + i)));
  write_jpeg(folder / "b" / "again.jpg", scene(32, 32, 3, 102), 97);
  write_text(folder / "b" / "broken.png", "no picture");
  write_text(directory / "upside_down.txt", "a/3.png\nb/1.png\n");
  PackOptions options;
  options.output = (directory / "packed").string();
  options.source = "folders";
  options.images = folder.string();
  options.rotate_file = (directory / "upside_down.txt").string();
  options.encoding = encoding;
  if (encoding == "raw") options.also_sizes_px = {8};
  options.dehaze.store = "variant";
  options.duplicates.group = true;
  options.balance = {"flip_horizontal", "rot90"};
  options.bad_images = "quarantine";
  options.shard_samples = 6;
  options.threads = 2;
  return options;
}

TEST(PackPreprocessTeamTest, AnyNumberOfRanksMakesTheSameBytes) {
  for (const char* encoding : {"raw", "jpeg"}) {
    TemporaryDirectory directory;
    PackOptions options = everything(directory, encoding);
    pack_dataset(options);
    const auto reference = files_of(options.output);
    const auto dataset = PackedDataset::open(options.output);
    const Manifest manifest = read_manifest(options.output);
    EXPECT_EQ(dataset->originals().size(), 28u);
    EXPECT_GT(manifest.copies, 10);
    EXPECT_EQ(static_cast<int64_t>(dataset->originals().size()) + manifest.copies, manifest.rows);
    EXPECT_EQ(dataset->group(dataset->row_of("b/2.png")),
              dataset->group(dataset->row_of("b/again.jpg")));
    EXPECT_NE(dataset->group(dataset->row_of("b/2.png")), "");
    EXPECT_THAT(verify_dataset(options.output), IsEmpty());
    for (const int64_t ranks : {2, 3, 40}) {
      PackOptions again = options;
      again.output = (directory / ("by" + std::to_string(ranks))).string();
      again.threads = ranks % 2 + 1;
      const auto failures = ThreadTeam(ranks).run([&](const PackTeam& team) {
        PackControl control;
        control.team = team;
        pack_dataset(again, control);
      });
      for (const auto& failure : failures) EXPECT_FALSE(failure);
      EXPECT_EQ(files_of(again.output), reference) << ranks << " ranks";
    }
  }
}

TEST(PackPreprocessTeamTest, AnInterruptedPackGoesOnToTheSameBytes) {
  TemporaryDirectory directory;
  PackOptions options = everything(directory, "raw");
  pack_dataset(options);
  const auto reference = files_of(options.output);
  options.output += "2";
  int64_t resumed = 0;
  bool complete = false;
  for (int start = 0; start < 40 && !complete; ++start) {
    std::atomic<int> polls = 0;
    PackControl control;
    // Every image is polled once for its signature and then once when it is packed.
    control.stop_requested = [&] { return ++polls > 29 + 13; };
    try {
      resumed = std::max(resumed, pack_dataset(options, control).resumed);
      complete = true;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInterrupted);
    }
  }
  EXPECT_TRUE(complete);
  EXPECT_GE(resumed, 6);
  EXPECT_EQ(files_of(options.output), reference);
}

TEST(PackPreprocessTeamTest, ACompleteDatasetIsNotLookedThroughForDuplicatesAgain) {
  TemporaryDirectory directory;
  const PackOptions options = everything(directory, "raw");
  pack_dataset(options);
  PackControl control;
  control.stop_requested = [] { return true; };  // asked for before any image is decoded
  EXPECT_TRUE(pack_dataset(options, control).already_complete());
  PackOptions other = options;
  other.shrink = "antialias";
  const Error refused = error_of([&] { pack_dataset(other, control); });
  EXPECT_EQ(refused.kind(), ErrorKind::kConfiguration) << "before images are compared";
}

TEST(PackPreprocessTeamTest, WhatDependsOnAllSamplesIsNotAppendedTo) {
  TemporaryDirectory directory;
  const auto refusal = [&](const PackOptions& options) {
    pack_dataset(options);
    PackControl append;
    append.append = true;
    EXPECT_TRUE(pack_dataset(options, append).already_complete());
    const auto before = files_of(options.output);
    const fs::path added = fs::path(options.images) / "b" / "new.png";
    write_png(added, scene(32, 32, 3, 999));
    const Error error = error_of([&] { pack_dataset(options, append); });
    EXPECT_EQ(error.kind(), ErrorKind::kConfiguration);
    EXPECT_EQ(files_of(options.output), before);
    fs::remove(added);
    return error.message();
  };
  PackOptions options = everything(directory, "raw");
  EXPECT_THAT(refusal(options), HasSubstr("duplicates.group depends on all samples"));
  options.duplicates.group = false;
  options.output += "2";
  EXPECT_THAT(refusal(options), HasSubstr("balance depends on all samples"));
}

TEST(PackPreprocessTeamTest, VariantsAndTurnedImagesAreAppended) {
  for (const char* encoding : {"raw", "jpeg"}) {
    TemporaryDirectory directory;
    PackOptions options = everything(directory, encoding);
    options.duplicates.group = false;
    options.balance.clear();
    PackControl append;
    append.append = true;
    pack_dataset(options);
    write_png(fs::path(options.images) / "b" / "new.png", behind_haze(scene(32, 32, 3, 999)));
    write_text(options.rotate_file, read_text(options.rotate_file) + "b/new.png\n");

    PackOptions without = options;
    without.dehaze.store = "none";
    EXPECT_THAT(error_of([&] { pack_dataset(without, append); }).message(), HasSubstr("dehaze: "));
    EXPECT_EQ(pack_dataset(options, append).parts.at(0).num_new, 1);
    const auto appended = PackedDataset::open(options.output);
    EXPECT_THAT(verify_dataset(options.output), IsEmpty());

    PackOptions whole = options;
    whole.output += "-whole";
    pack_dataset(whole);
    const auto expected = PackedDataset::open(whole.output);
    ASSERT_EQ(appended->size(), expected->size());
    std::vector<uint8_t> scratch;
    for (int64_t row = 0; row < expected->size(); ++row) {
      const int64_t other = appended->row_of(expected->id(row));
      ASSERT_GE(other, 0);
      for (const char* variant : {"", "dehazed"}) {
        const Image image(expected->variant(variant)->image(row, 32, scratch));
        EXPECT_EQ(Image(appended->variant(variant)->image(other, 32, scratch)).pixels,
                  image.pixels);
      }
    }

    write_text(options.rotate_file, "a/3.png\n");
    EXPECT_THAT(error_of([&] { pack_dataset(options, append); }).message(), HasSubstr("b/1.png"));
  }
}

}  // namespace
}  // namespace baleen
