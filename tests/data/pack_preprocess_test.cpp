// What packing does to images and samples besides decoding: variants, boxes, lists, copies.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/config/decode.h"
#include "data/augment/d4.h"
#include "data/hdf5/file.h"
#include "data/inspect.h"
#include "data/manifest.h"
#include "data/pack/pack.h"
#include "data/packed_dataset.h"
#include "data/verify.h"
#include "tests/data/dataset_files.h"

namespace baleen {
namespace {

namespace fs = std::filesystem;
using testing::behind_haze;
using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;
using testing::picture;
using testing::read_text;
using testing::TemporaryDirectory;
using testing::write_jpeg;
using testing::write_png;
using testing::write_text;

Image stored(const PackedDataset& dataset, int64_t row, int64_t min_side_px = 1 << 20) {
  std::vector<uint8_t> scratch;
  return Image(dataset.image(row, min_side_px, scratch));
}

// Folders with `sizes` pictures of classes a, b, ...
PackOptions classes_of(const TemporaryDirectory& directory, const std::vector<int>& sizes,
                       int64_t height = 24, int64_t width = 24) {
  for (size_t c = 0; c < sizes.size(); ++c)
    for (int i = 0; i < sizes[c]; ++i)
      write_png(directory / "photos" / std::string(1, static_cast<char>('a' + c)) /
                    (std::to_string(i) + ".png"),
                picture(height, width, 3, static_cast<int>(c) * 100 + i));
  PackOptions options;
  options.output = (directory / "packed").string();
  options.source = "folders";
  options.images = (directory / "photos").string();
  options.threads = 2;
  return options;
}

// The same, behind haze.
PackOptions hazy_classes(const TemporaryDirectory& directory, const std::vector<int>& sizes) {
  const PackOptions options = classes_of(directory, sizes);
  for (const auto& entry : fs::recursive_directory_iterator(options.images))
    if (entry.is_regular_file()) write_png(entry.path(), behind_haze(read_image(entry.path(), 3)));
  return options;
}

TEST(PackVariantTest, DehazedImagesLieBesideTheOthersOfTheSameSamples) {
  for (const char* encoding : {"raw", "jpeg"}) {
    TemporaryDirectory directory;
    PackOptions options = hazy_classes(directory, {7, 4});
    options.encoding = encoding;
    options.jpeg_quality = 100;
    options.shard_samples = 5;
    if (options.encoding == "raw") options.also_sizes_px = {12};
    options.dehaze.store = "variant";
    pack_dataset(options);
    const auto dataset = PackedDataset::open(options.output);
    EXPECT_THAT(dataset->variants(), ElementsAre("dehazed"));
    const auto dehazed = dataset->variant("dehazed");
    EXPECT_EQ(dehazed->size(), dataset->size());
    EXPECT_EQ(dehazed->digest(), dataset->digest());
    for (int64_t row = 0; row < dataset->size(); ++row) {
      EXPECT_EQ(dehazed->id(row), dataset->id(row));
      const Image original = read_image(fs::path(options.images) / dataset->id(row), 3);
      const Image expected = dehaze(original.view(), options.dehaze);
      const Image plain = stored(*dataset, row);
      const Image clear = stored(*dehazed, row);
      if (options.encoding == "raw") {
        EXPECT_EQ(plain.pixels, original.pixels);
        EXPECT_EQ(clear.pixels, expected.pixels);
        EXPECT_EQ(stored(*dehazed, row, 12).pixels, resize_image(expected.view(), 12, 12).pixels);
      }
      EXPECT_NE(plain.pixels, clear.pixels);
      EXPECT_EQ(stored(*dehazed->variant(""), row).pixels, plain.pixels);
    }
    EXPECT_TRUE(verify_dataset(options.output).empty());
    EXPECT_THAT(inspect_dataset(options.output), HasSubstr("dehazed"));
    const Error error = error_of([&] { (void)dataset->variant("hazy"); });
    EXPECT_EQ(error.kind(), ErrorKind::kConfiguration);
    EXPECT_THAT(error.what(), HasSubstr("no variant 'hazy'"));
    EXPECT_THAT(error.hint(), HasSubstr("dehazed"));
  }
}

TEST(PackVariantTest, AFlipInAVariantsPayloadIsSeenWhenItIsRead) {
  TemporaryDirectory directory;
  PackOptions options = hazy_classes(directory, {4, 4});
  options.dehaze.store = "variant";
  pack_dataset(options);
  const fs::path shard = directory / "packed" / "shard-000.h5";
  uint64_t offset = 0;
  {
    const hdf5::File file = hdf5::File::open(shard);
    offset = *file.open_dataset("dehazed_images").offset();
  }
  testing::flip_bit(shard, offset + 3 * 24 * 24 * 3 + 100);  // of the fourth row
  const auto dataset = PackedDataset::open(options.output);
  int refused = 0;
  for (int64_t row = 0; row < dataset->size(); ++row) {
    EXPECT_NO_THROW(stored(*dataset, row));
    try {
      stored(*dataset->variant("dehazed"), row);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kData);
      ++refused;
    }
  }
  EXPECT_EQ(refused, 1);
  EXPECT_FALSE(verify_dataset(options.output).empty());
}

TEST(PackVariantTest, ReplaceStoresDehazedImagesOnly) {
  TemporaryDirectory directory;
  PackOptions options = hazy_classes(directory, {2, 1});
  options.dehaze.store = "replace";
  options.dehaze.guide = "grey";
  pack_dataset(options);
  const auto dataset = PackedDataset::open(options.output);
  EXPECT_TRUE(dataset->variants().empty());
  EXPECT_EQ(stored(*dataset, 0).pixels,
            dehaze(behind_haze(picture(24, 24, 3, 0)).view(), options.dehaze).pixels);
  EXPECT_THAT(error_of([&] { (void)dataset->variant("dehazed"); }).hint(),
              HasSubstr("images as they are only"));
}

TEST(PackVariantTest, AFlippedBitAnywhereInAShardWithManyDatasetsIsAnErrorNeverACrash) {
  TemporaryDirectory directory;
  PackOptions options = hazy_classes(directory, {2, 2});
  options.also_sizes_px = {12, 6};
  options.dehaze.store = "variant";
  pack_dataset(options);
  const fs::path shard = directory / "packed" / "shard-000.h5";
  const std::string whole = read_text(shard);
  // HDF5's own structures: the first and last kilobytes, and a sample of all else.
  for (size_t i = 0; i < whole.size(); i += i < 6000 || i + 3000 > whole.size() ? 7 : 4001) {
    std::string changed = whole;
    changed[i] = static_cast<char>(changed[i] ^ 0x10);
    write_text(shard, changed);
    EXPECT_FALSE(verify_dataset(options.output).empty()) << "byte " << i;
  }
}

TEST(PackVersionTest, DatasetsOfTheFirstFormatAreRead) {
  TemporaryDirectory directory;
  const PackOptions options = classes_of(directory, {3, 2});
  pack_dataset(options);
  // What version 1 wrote: no variants, no copies; the further list in the shards is ignored.
  Manifest manifest = read_manifest(options.output);
  manifest.version = 1;
  const std::string text = manifest_text(manifest);
  EXPECT_THAT(text, ::testing::Not(HasSubstr("variants")));
  write_text(directory / "packed" / "manifest.json", text);
  const auto dataset = PackedDataset::open(options.output);
  EXPECT_EQ(dataset->size(), 5);
  EXPECT_EQ(dataset->copy_of(0), "");
  EXPECT_EQ(dataset->originals().size(), 5u);
  EXPECT_TRUE(verify_dataset(options.output).empty());
}

TEST(PackBoxesTest, ImagesAreCutToTheirBoxesAndTurned) {
  TemporaryDirectory directory;
  PackOptions options = classes_of(directory, {4}, 40, 60);
  write_text(directory / "boxes.csv",
             "Image,x0,y0,x1,y1\na/0.png,10,5,29,24\na/1.png,10,5,29,24\na/2.png,5,5,5,9\n");
  write_text(directory / "upside_down.txt", "a/1.png\r\n\n nobody \n");
  options.boxes.file = (directory / "boxes.csv").string();
  options.boxes.expand = 0;
  options.boxes.aspect = 0;
  options.rotate_file = (directory / "upside_down.txt").string();
  options.fit = "squash";
  options.size_px = 20;
  const PackSummary summary = pack_dataset(options);
  EXPECT_THAT(summary.text(), HasSubstr("1 images have no box"));
  EXPECT_THAT(summary.text(), HasSubstr("1 images have an empty box"));
  EXPECT_THAT(summary.text(), HasSubstr("belong to no sample: 'nobody'"));
  const auto dataset = PackedDataset::open(options.output);
  // 19 px and one more on the far sides are 20: nothing is resampled.
  const Image first = picture(40, 60, 3, 0);
  const Image cut = stored(*dataset, 0);
  for (int64_t y = 0; y < 20; ++y)
    for (int64_t x = 0; x < 20; ++x)
      EXPECT_EQ(cut.pixels[static_cast<size_t>((y * 20 + x) * 3)],
                first.pixels[static_cast<size_t>(((y + 5) * 60 + x + 10) * 3)]);
  Image turned(40, 60, 3);
  apply_d4(picture(40, 60, 3, 1).view(), D4::kRot180, turned.pixels.data());
  const Image of_turned = stored(*dataset, 1);
  for (int64_t y = 0; y < 20; ++y)
    for (int64_t x = 0; x < 20; ++x)
      EXPECT_EQ(of_turned.pixels[static_cast<size_t>((y * 20 + x) * 3)],
                turned.pixels[static_cast<size_t>(((y + 40 - 24) * 60 + x + 60 - 29) * 3)]);
  for (const int64_t row : {2, 3})
    EXPECT_EQ(stored(*dataset, row).pixels,
              resize_image(picture(40, 60, 3, static_cast<int>(row)).view(), 20, 20).pixels);
  EXPECT_EQ(dataset->original_size(0), std::pair(int64_t{40}, int64_t{60}));
}

TEST(PackBoxesTest, EveryImageGetsTheAspect) {
  TemporaryDirectory directory;
  PackOptions options = classes_of(directory, {2}, 40, 60);
  write_text(directory / "boxes.csv", "id,x0,y0,x1,y1\na/0.png,0,0,19,39\n");
  options.boxes.file = (directory / "boxes.csv").string();
  options.boxes.aspect = 2;
  options.boxes.expand = 0;
  options.fit = "squash";
  options.size_px = 40;
  pack_dataset(options);
  const auto dataset = PackedDataset::open(options.output);
  const Image image = stored(*dataset, 0);
  // 20 of the 80 columns are inside, in the middle; the rest is the image's mean colour.
  const uint8_t left = image.pixels[0];
  for (int64_t y = 1; y < 40; ++y) EXPECT_EQ(image.pixels[static_cast<size_t>(y * 40 * 3)], left);
}

TEST(PackBoxesTest, BadTablesAreNamed) {
  TemporaryDirectory directory;
  PackOptions options = classes_of(directory, {2});
  options.boxes.file = (directory / "boxes.csv").string();
  const auto message_for = [&](const std::string& table) {
    write_text(options.boxes.file, table);
    const Error error = error_of([&] { pack_dataset(options); });
    EXPECT_EQ(error.kind(), ErrorKind::kData);
    return std::string(error.what());
  };
  EXPECT_THAT(message_for("id,x0,y0,x1,y1\na/0.png,1,2,x,4\n"),
              HasSubstr("boxes.csv:2: x1 is 'x'"));
  EXPECT_THAT(message_for("id,x0,y0,x1,y1\na/0.png,1,2,nan,4\n"), HasSubstr("no number"));
  EXPECT_THAT(message_for("id,x0,y0,x1,y1\na/0.png,1,2,3,4\na/0.png,1,2,3,4\n"),
              HasSubstr("boxes.csv:3: 'a/0.png' has a second box"));
  EXPECT_THAT(message_for("id,x0,y0,x1,y1\n0.png,1,2,3,4\n"), HasSubstr("'a/0.png' for instance"));
  EXPECT_THAT(message_for("id,x0,y0,x1\na/0.png,1,2,3\n"), HasSubstr("no column 'y1'"));
}

TEST(PackExcludeTest, ListedSamplesAreLeftOutAndUnknownIdsNoted) {
  TemporaryDirectory directory;
  PackOptions options = classes_of(directory, {3, 2});
  options.exclude_file = (directory / "blacklist.txt").string();
  write_text(options.exclude_file, "a/1.png\nb/9.png\n");
  const PackSummary summary = pack_dataset(options);
  EXPECT_THAT(summary.text(), HasSubstr("1 samples are left out"));
  EXPECT_THAT(summary.text(), HasSubstr("'b/9.png'"));
  const auto dataset = PackedDataset::open(options.output);
  EXPECT_EQ(dataset->size(), 4);
  EXPECT_EQ(dataset->row_of("a/1.png"), -1);
  options.output += "2";
  write_text(options.exclude_file, "a/0.png\na/1.png\na/2.png\nb/0.png\nb/1.png\n");
  EXPECT_THAT(error_of([&] { pack_dataset(options); }).what(), HasSubstr("leaves no sample"));
  write_text(options.exclude_file, "");
  pack_dataset(options);
  EXPECT_EQ(PackedDataset::open(options.output)->size(), 5);
}

TEST(PackBalanceTest, SmallerClassesGetCopiesInTheirOriginalsGroup) {
  TemporaryDirectory directory;
  PackOptions options = classes_of(directory, {10, 4, 1});
  options.balance = {"flip_horizontal", "rot90", "rot180"};
  const PackSummary summary = pack_dataset(options);
  EXPECT_THAT(summary.text(), HasSubstr("1 classes stay smaller than the largest"));
  EXPECT_THAT(summary.text(), HasSubstr("c (4 of 10)"));
  const Manifest manifest = read_manifest(options.output);
  EXPECT_THAT(manifest.label_counts, ElementsAre(10, 10, 4));
  EXPECT_EQ(manifest.copies, 9);
  const auto dataset = PackedDataset::open(options.output);
  EXPECT_EQ(dataset->size(), 24);
  EXPECT_EQ(dataset->originals().size(), 15u);
  std::map<std::string, int> symmetries;
  for (int64_t row = 0; row < dataset->size(); ++row) {
    const std::string& source = dataset->copy_of(row);
    if (source.empty()) continue;
    const int64_t original = dataset->row_of(source);
    ASSERT_GE(original, 0);
    const std::string name = dataset->id(row).substr(source.size() + 1);
    ++symmetries[name];
    EXPECT_EQ(dataset->class_index(row), dataset->class_index(original));
    EXPECT_NE(dataset->group(row), "");
    EXPECT_EQ(dataset->group(row), dataset->group(original));
    Image expected(24, 24, 3);
    apply_d4(stored(*dataset, original).view(), d4_from_name(name), expected.pixels.data());
    EXPECT_EQ(stored(*dataset, row).pixels, expected.pixels) << dataset->id(row);
  }
  EXPECT_EQ(symmetries["flip_horizontal"], 5);
  EXPECT_EQ(symmetries["rot90"], 3);
  EXPECT_EQ(symmetries["rot180"], 1);
  EXPECT_TRUE(verify_dataset(options.output).empty());
  EXPECT_THAT(inspect_dataset(options.output), HasSubstr("9 of them"));
}

TEST(PackBalanceTest, TheHeldOutPartGetsNoCopies) {
  TemporaryDirectory directory;
  PackOptions options = classes_of(directory, {20, 10});
  options.balance = {"d4"};
  options.hold_out = 0.2;
  pack_dataset(options);
  EXPECT_EQ(read_manifest(options.output + "-test").copies, 0);
  const Manifest training = read_manifest(options.output);
  EXPECT_THAT(training.label_counts, ElementsAre(16, 16));
}

TEST(PackBalanceTest, ImpossibleBalancesAreRefused) {
  TemporaryDirectory directory;
  PackOptions options = classes_of(directory, {4, 2}, 20, 30);
  options.balance = {"rot90"};
  EXPECT_THAT(error_of([&] { pack_dataset(options); }).what(),
              HasSubstr("rot90 of an image of 20 x 30 px has another size"));
  options.balance = {"sideways"};
  EXPECT_THAT(error_of([&] { pack_dataset(options); }).what(), HasSubstr("sideways"));
  PackOptions tagged = testing::tagged_chips(directory, 4);
  tagged.balance = {"d4"};
  EXPECT_THAT(error_of([&] { pack_dataset(tagged); }).what(), HasSubstr("one class each"));
}

TEST(PackResizeTest, TheShrinkFilterIsAChoice) {
  TemporaryDirectory directory;
  PackOptions options = classes_of(directory, {1}, 50, 70);
  options.fit = "squash";
  options.size_px = 16;
  options.also_sizes_px = {8};
  options.shrink = "antialias";
  pack_dataset(options);
  const auto dataset = PackedDataset::open(options.output);
  const Image expected =
      resize_image(picture(50, 70, 3, 0).view(), 16, 16, {.shrink = ShrinkFilter::kAntialias});
  EXPECT_EQ(stored(*dataset, 0).pixels, expected.pixels);
  EXPECT_NE(expected.pixels, resize_image(picture(50, 70, 3, 0).view(), 16, 16).pixels);
  EXPECT_EQ(stored(*dataset, 0, 8).pixels,
            resize_image(expected.view(), 8, 8, {.shrink = ShrinkFilter::kAntialias}).pixels);
}

}  // namespace
}  // namespace baleen
