// What `baleen pack` does with bad images, repetitions, foreign folders, test parts and limits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "data/inspect.h"
#include "data/manifest.h"
#include "data/pack/pack.h"
#include "data/packed_dataset.h"
#include "tests/data/dataset_files.h"

namespace baleen {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;
using testing::picture;
using testing::read_text;
using testing::tagged_chips;
using testing::TemporaryDirectory;
using testing::write_png;
using testing::write_text;

TEST(PackRulesTest, EveryBadImageIsNamedAndNothingIsWritten) {
  TemporaryDirectory directory;
  const PackOptions options = tagged_chips(directory, 30);
  const std::string whole = read_text(directory / "chips" / "chip_3.png");
  write_text(directory / "chips" / "chip_3.png", whole.substr(0, whole.size() / 2));
  write_text(directory / "chips" / "chip_7.png", "");
  write_text(directory / "chips" / "chip_21.png", "no picture");
  fs::remove(directory / "chips" / "chip_29.png");
  const Error error = error_of([&] { pack_dataset(options); });
  EXPECT_EQ(error.kind(), ErrorKind::kData);
  EXPECT_THAT(error.message(), HasSubstr("4 of 30 images"));
  for (const char* part :
       {"chip_3.png: truncated PNG", "chip_7.png: the file is empty",
        "chip_21.png: no JPEG, PNG or TIFF", "chip_29.png: there is no such file"})
    EXPECT_THAT(error.message(), HasSubstr(part));
  EXPECT_THAT(error.hint(), HasSubstr("quarantine"));
  EXPECT_FALSE(fs::exists(directory / "packed"));
  EXPECT_FALSE(fs::exists(directory / "packed.packing"));
}

TEST(PackRulesTest, QuarantinedImagesAreListedAndTheOthersPacked) {
  TemporaryDirectory directory;
  PackOptions options = tagged_chips(directory, 30);
  options.bad_images = "quarantine";
  options.shard_samples = 10;
  write_text(directory / "chips" / "chip_0.png", "no picture");
  write_text(directory / "chips" / "chip_29.png", "");
  write_png(directory / "chips" / "chip_15.png", picture(17, 16, 3, 15));
  const PackSummary summary = pack_dataset(options);
  EXPECT_EQ(summary.parts.at(0).rows, 27);
  EXPECT_EQ(summary.parts.at(0).quarantined.size(), 3u);
  EXPECT_THAT(summary.text(),
              ::testing::ContainsRegex("1  the file is empty\n +[^\n]*chip_29.png"));
  const std::string csv = read_text(directory / "packed" / "quarantine.csv");
  EXPECT_THAT(csv, HasSubstr("id,file,reason\nchip_0,"));
  EXPECT_THAT(csv, HasSubstr("17 x 16 px"));
  const auto dataset = PackedDataset::open(options.output);
  EXPECT_EQ(dataset->size(), 27);
  EXPECT_EQ(dataset->row_of("chip_15"), -1);
  EXPECT_EQ(dataset->row_of("chip_1"), 0);
  EXPECT_THAT(inspect_dataset(options.output), HasSubstr("3 bad images"));
}

TEST(PackRulesTest, RepeatingAPackDoesNothingUntilSomethingChanges) {
  TemporaryDirectory directory;
  PackOptions options = tagged_chips(directory, 10);
  EXPECT_FALSE(pack_dataset(options).already_complete());
  const auto packed_at = fs::last_write_time(directory / "packed" / "shard-000.h5");
  const PackSummary again = pack_dataset(options);
  EXPECT_TRUE(again.already_complete());
  EXPECT_THAT(again.text(), HasSubstr("already complete"));
  EXPECT_EQ(fs::last_write_time(directory / "packed" / "shard-000.h5"), packed_at);

  write_png(directory / "chips" / "chip_4.png", picture(16, 16, 3, 99));
  const Error changed = error_of([&] { pack_dataset(options); });
  EXPECT_EQ(changed.kind(), ErrorKind::kConfiguration);
  EXPECT_THAT(changed.message(), HasSubstr("packed"));
  EXPECT_FALSE(pack_dataset(options, {.overwrite = true}).already_complete());
  std::vector<uint8_t> scratch;
  EXPECT_EQ(Image(PackedDataset::open(options.output)->image(4, 16, scratch)).pixels,
            picture(16, 16, 3, 99).pixels);
  options.channels = 1;
  EXPECT_EQ(error_of([&] { pack_dataset(options); }).kind(), ErrorKind::kConfiguration);
}

TEST(PackRulesTest, ForeignFoldersAreNeverReplacedAndHalfMadeOnesAre) {
  TemporaryDirectory directory;
  const PackOptions options = tagged_chips(directory, 5);
  write_text(directory / "packed" / "thesis.txt", "precious");
  EXPECT_EQ(error_of([&] { pack_dataset(options, {.overwrite = true}); }).kind(),
            ErrorKind::kConfiguration);
  EXPECT_EQ(read_text(directory / "packed" / "thesis.txt"), "precious");
  fs::remove_all(directory / "packed");

  write_text(directory / "packed.packing" / "shard-000.h5", "left by a killed process");
  int calls = 0;
  const Error stopped =
      error_of([&] { pack_dataset(options, {.stop_requested = [&] { return ++calls > 0; }}); });
  EXPECT_EQ(stopped.kind(), ErrorKind::kInterrupted);
  EXPECT_FALSE(fs::exists(directory / "packed"));
  EXPECT_FALSE(fs::exists(directory / "packed.packing"));
  pack_dataset(options);
  EXPECT_EQ(PackedDataset::open(options.output)->size(), 5);
}

TEST(PackRulesTest, AHeldOutPartIsBalancedDisjointAndKeepsGroupsWhole) {
  TemporaryDirectory directory;
  PackOptions options = tagged_chips(directory, 100, 4);
  std::string groups = "image,place\n";
  for (int i = 0; i < 100; ++i)
    groups +=
        "chip_" + std::to_string(i) + "," + (i % 4 == 0 ? "" : "g" + std::to_string(i / 6)) + "\n";
  write_text(directory / "groups.csv", groups);
  options.hold_out = 0.2;
  for (const bool grouped : {false, true}) {
    options.output = (directory / (grouped ? "grouped" : "single")).string();
    if (grouped) {
      options.group_file = (directory / "groups.csv").string();
      options.group_column = "place";
    }
    const PackSummary summary = pack_dataset(options);
    ASSERT_EQ(summary.parts.size(), 2u);
    const auto train = PackedDataset::open(options.output);
    const auto test = PackedDataset::open(options.output + "-test");
    EXPECT_EQ(train->size() + test->size(), 100);
    EXPECT_NEAR(static_cast<double>(test->size()), 20, grouped ? 2 : 0);
    EXPECT_EQ(train->label_names(), test->label_names());
    const Manifest manifest = read_manifest(options.output + "-test");
    EXPECT_NEAR(static_cast<double>(manifest.label_counts[1]), 4, grouped ? 2 : 0) << "road";
    EXPECT_NEAR(static_cast<double>(manifest.label_counts[2]), 10, grouped ? 2 : 0) << "water";
    std::set<std::string> train_groups;
    for (int64_t row = 0; row < train->size(); ++row) {
      EXPECT_EQ(test->row_of(train->id(row)), -1);
      if (!train->group(row).empty()) train_groups.insert(train->group(row));
    }
    for (int64_t row = 0; row < test->size(); ++row)
      if (!test->group(row).empty()) {
        EXPECT_FALSE(train_groups.contains(test->group(row))) << test->group(row);
      }
  }
  EXPECT_TRUE(pack_dataset(options).already_complete());
}

TEST(PackRulesTest, LimitsKeepAFixedSubset) {
  TemporaryDirectory directory;
  PackOptions options = tagged_chips(directory, 60, 4);
  options.limit_total = 20;
  pack_dataset(options);
  const auto first = PackedDataset::open(options.output);
  EXPECT_EQ(first->size(), 20);
  options.output = (directory / "other").string();
  options.seed = 1;
  pack_dataset(options);
  const auto second = PackedDataset::open(options.output);
  int64_t common = 0;
  for (int64_t row = 0; row < 20; ++row) common += second->row_of(first->id(row)) >= 0;
  EXPECT_LT(common, 20) << "another seed, another subset";

  options.output = (directory / "per_label").string();
  options.limit_total = 0;
  options.limit_per_label = 6;
  pack_dataset(options);
  const Manifest manifest = read_manifest(options.output);
  for (const int64_t count : manifest.label_counts) EXPECT_GE(count, 6);
  EXPECT_EQ(manifest.label_counts[1], 6) << "the rarest label is filled up exactly";
  EXPECT_LT(manifest.rows, 40);
}

TEST(PackRulesTest, ContradictionsInTheTablesAreAllReported) {
  TemporaryDirectory directory;
  PackOptions options = tagged_chips(directory, 4);
  const auto message_for = [&](const std::string& csv) {
    write_text(options.labels_file, csv);
    const Error error = error_of([&] { pack_dataset(options); });
    EXPECT_EQ(error.kind(), ErrorKind::kData) << error.what();
    return std::string(error.what());
  };
  const std::string twice =
      message_for("image,tags\nchip_0,a\nchip_1,b\nchip_0,a\nchip_1,a\nchip_2,a\n");
  EXPECT_THAT(twice, HasSubstr("'chip_0' (2 times)"));
  EXPECT_THAT(twice, HasSubstr("'chip_1' (2 times)"));
  EXPECT_THAT(message_for("picture,tags\nchip_0,a\n"), HasSubstr("no column 'image'"));
  EXPECT_THAT(message_for("picture,tags\nchip_0,a\n"), HasSubstr("picture, tags"));
  EXPECT_THAT(message_for("image,tags\nchip_0,a\nchip_1\n"), HasSubstr("tags.csv:3: 1 fields"));
  EXPECT_THAT(message_for("image,tags\nchip_0,\"a\n"),
              HasSubstr("tags.csv:2: a quote is not closed"));
  EXPECT_THAT(message_for("image,tags\nchip_0,\"a\"b\n"), HasSubstr("closing quote"));
  EXPECT_THAT(message_for("image,image\nchip_0,a\n"), HasSubstr("same name"));
  EXPECT_THAT(message_for(""), HasSubstr("empty"));
  EXPECT_THAT(message_for("image,tags\n"), HasSubstr("nothing to pack"));
  EXPECT_THAT(message_for("image,tags\n,a\n"), HasSubstr("tags.csv:2: no image"));
  options.labels = {"primary", "water"};
  const std::string unknown = message_for("image,tags\nchip_0,primary roads\nchip_1,watr\n");
  EXPECT_THAT(unknown, HasSubstr("tags.csv:2: 'roads'"));
  EXPECT_THAT(unknown, HasSubstr("tags.csv:3: 'watr'"));
}

TEST(PackRulesTest, MasksLeaveTheSubjectOnItsMeanColour) {
  TemporaryDirectory directory;
  PackOptions options = tagged_chips(directory, 4, 8);
  options.mask_dir = (directory / "masks").string();
  EXPECT_THAT(error_of([&] { pack_dataset(options); }).message(), HasSubstr("masks is no folder"));
  Image half(16, 16, 1);  // twice as large as the image: the left half is the subject
  for (size_t i = 0; i < half.pixels.size(); ++i) half.pixels[i] = i % 16 < 8 ? 255 : 0;
  write_png(directory / "masks" / "chip_1.png", half);
  write_png(directory / "masks" / "chip_2.png", Image(8, 8, 1));
  EXPECT_THAT(pack_dataset(options).text(), HasSubstr("2 samples have no mask"));
  const auto dataset = PackedDataset::open(options.output);
  std::vector<uint8_t> scratch;
  for (const int i : {0, 2, 3})
    EXPECT_EQ(Image(dataset->image(i, 8, scratch)).pixels, picture(8, 8, 3, i).pixels);
  const Image whole = picture(8, 8, 3, 1);
  const Image masked(dataset->image(1, 8, scratch));
  for (size_t c = 0; c < 3; ++c) {
    double mean = 0;
    for (size_t p = 0; p < 64; ++p) mean += whole.pixels[3 * p + c] / 64.0;
    for (size_t p = 0; p < 64; ++p) {
      if (p % 8 < 4) {
        EXPECT_EQ(masked.pixels[3 * p + c], whole.pixels[3 * p + c]);
      } else {
        EXPECT_NEAR(masked.pixels[3 * p + c], mean, 0.5 + 1e-9);
      }
    }
  }
  write_png(directory / "masks" / "chip_3.png", half);
  EXPECT_EQ(error_of([&] { pack_dataset(options); }).kind(), ErrorKind::kConfiguration)
      << "another mask, another dataset";
  write_text(directory / "masks" / "chip_3.png", "no picture");
  EXPECT_THAT(error_of([&] { pack_dataset(options, {.overwrite = true}); }).message(),
              HasSubstr("its mask"));
}

}  // namespace
}  // namespace baleen
