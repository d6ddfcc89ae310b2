#include "data/pack/pack.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <map>

#include "core/config/decode.h"
#include "data/inspect.h"
#include "data/manifest.h"
#include "data/packed_dataset.h"
#include "tests/data/dataset_files.h"

namespace baleen {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using testing::error_of;
using testing::files_of;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::picture;
using testing::read_text;
using testing::tagged_chips;
using testing::TemporaryDirectory;
using testing::write_jpeg;
using testing::write_png;
using testing::write_text;

TEST(PackTest, TagsBecomeLabelsAndPixelsComeBackExactly) {
  TemporaryDirectory directory;
  PackOptions options = tagged_chips(directory, 23);
  options.shard_samples = 10;
  const PackSummary summary = pack_dataset(options);
  EXPECT_EQ(summary.parts.at(0).rows, 23);
  const auto dataset = PackedDataset::open(options.output);
  ASSERT_EQ(dataset->size(), 23);
  EXPECT_EQ(dataset->target_kind(), TargetKind::kMultiLabel);
  EXPECT_THAT(dataset->label_names(), ElementsAre("primary", "road", "water"));
  EXPECT_EQ(read_manifest(options.output).shards.size(), 3u);
  EXPECT_THAT(read_manifest(options.output).label_counts, ElementsAre(23, 5, 12));
  for (const ShardEntry& shard : read_manifest(options.output).shards)
    EXPECT_EQ(shard.places.size(), shard.datasets.size()) << "readers go by the places";
  std::vector<uint8_t> scratch;
  for (int i = 0; i < 23; ++i) {
    const int64_t row = dataset->row_of("chip_" + std::to_string(i));
    ASSERT_EQ(row, i) << "rows keep the order of the CSV";
    EXPECT_THAT(dataset->labels(row), ElementsAre(1, i % 5 == 0, i % 2 == 0));
    const Image copy(dataset->image(row, 16, scratch));
    EXPECT_EQ(copy.pixels, picture(16, 16, 3, i).pixels);
  }
  EXPECT_EQ(dataset->row_of("chip_99"), -1);
  EXPECT_EQ(dataset->group(0), "");
}

TEST(PackTest, TheBytesDependNeitherOnThreadsNorOnTheDirectory) {
  TemporaryDirectory directory;
  PackOptions options = tagged_chips(directory, 40);
  options.also_sizes_px = {8, 12};
  options.threads = 1;
  pack_dataset(options);
  options.output = (directory / "again").string();
  options.threads = 4;
  pack_dataset(options);
  EXPECT_EQ(files_of(directory / "packed"), files_of(directory / "again"));
  EXPECT_EQ(PackedDataset::open(directory / "packed")->digest(),
            PackedDataset::open(directory / "again")->digest());
}

TEST(PackTest, TheSmallestStoredSizeThatSufficesIsRead) {
  TemporaryDirectory directory;
  PackOptions options = tagged_chips(directory, 3, 32);
  options.also_sizes_px = {8, 16};
  pack_dataset(options);
  const auto dataset = PackedDataset::open(options.output);
  std::vector<uint8_t> scratch;
  const auto side = [&](int64_t min_side) { return dataset->image(1, min_side, scratch).height; };
  EXPECT_EQ(side(1), 8);
  EXPECT_EQ(side(8), 8);
  EXPECT_EQ(side(9), 16);
  EXPECT_EQ(side(17), 32);
  EXPECT_EQ(side(500), 32);
  const Image expected = resize_image(picture(32, 32, 3, 1).view(), 16, 16);
  EXPECT_EQ(Image(dataset->image(1, 16, scratch)).pixels, expected.pixels);
}

TEST(PackTest, FoldersBecomeClassesAndSizesAreMadeEqual) {
  TemporaryDirectory directory;
  for (int i = 0; i < 12; ++i)
    write_jpeg(
        directory / "animals" / (i % 3 == 0 ? "cat" : "dog") / ("p" + std::to_string(i) + ".jpg"),
        picture(20 + i, 50 - i, 3, i));
  write_png(directory / "animals" / "stray.png", picture(8, 8, 3, 0));
  PackOptions options;
  options.output = (directory / "packed").string();
  options.source = "folders";
  options.images = (directory / "animals").string();
  options.fit = "crop";
  options.size_px = 24;
  options.encoding = "jpeg";
  options.channels = 1;
  const PackSummary summary = pack_dataset(options);
  ASSERT_EQ(summary.notes.size(), 1u);
  EXPECT_THAT(summary.notes[0], HasSubstr("stray.png"));
  const auto dataset = PackedDataset::open(options.output);
  EXPECT_EQ(dataset->target_kind(), TargetKind::kSingleClass);
  EXPECT_THAT(dataset->label_names(), ElementsAre("cat", "dog"));
  EXPECT_EQ(dataset->size(), 12);
  EXPECT_EQ(dataset->id(0), "cat/p0.jpg");
  EXPECT_EQ(dataset->class_index(dataset->row_of("dog/p1.jpg")), 1);
  std::vector<uint8_t> scratch;
  for (int64_t row = 0; row < 12; ++row) {
    const ImageView image = dataset->image(row, 24, scratch);
    EXPECT_EQ(image.height, 24);
    EXPECT_EQ(image.width, 24);
    EXPECT_EQ(image.channels, 1);
  }
}

TEST(PackTest, IdsGroupsAndQuotedFieldsAreRead) {
  TemporaryDirectory directory;
  for (const char* name : {"a.png", "b, c.png", "d.png"})
    write_png(directory / "img" / name, picture(8, 8, 1, 3));
  write_png(directory / "img" / "extra.png", picture(8, 8, 1, 3));
  write_text(directory / "ids.csv",
             "\xef\xbb\xbfphoto,whale,site\na.png,w_1,north\n\"b, c.png\",\"the \"\"new\"\" "
             "one\",\nd.png,w_1,south\n\n");
  PackOptions options;
  options.output = (directory / "packed").string();
  options.source = "csv_ids";
  options.images = (directory / "img").string();
  options.labels_file = (directory / "ids.csv").string();
  options.image_column = "photo";
  options.label_column = "whale";
  options.group_column = "site";
  options.channels = 1;
  const PackSummary summary = pack_dataset(options);
  ASSERT_EQ(summary.notes.size(), 1u);
  EXPECT_THAT(summary.notes[0], HasSubstr("extra.png"));
  const auto dataset = PackedDataset::open(options.output);
  EXPECT_THAT(dataset->label_names(), ElementsAre("the \"new\" one", "w_1"));
  EXPECT_EQ(dataset->id(1), "b, c.png");
  EXPECT_EQ(dataset->class_index(1), 0);
  EXPECT_EQ(dataset->group(0), "north");
  EXPECT_EQ(dataset->group(1), "");
}

std::string idx_bytes(std::vector<uint32_t> shape, const std::vector<uint8_t>& values) {
  std::string bytes = {0, 0, 8, static_cast<char>(shape.size())};
  for (const uint32_t extent : shape)
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(extent >> shift);
  return bytes.append(values.begin(), values.end());
}

TEST(PackTest, IdxFilesAreReadPlainAndCompressed) {
  TemporaryDirectory directory;
  std::vector<uint8_t> pixels;
  for (int i = 0; i < 5; ++i) {
    const Image image = picture(6, 7, 1, i);
    pixels.insert(pixels.end(), image.pixels.begin(), image.pixels.end());
  }
  const std::string images = idx_bytes({5, 6, 7}, pixels);
  const std::string compressed_file = (directory / "images.gz").string();
  gzFile compressed = gzopen(compressed_file.c_str(), "wb");
  gzwrite(compressed, images.data(), static_cast<unsigned>(images.size()));
  gzclose(compressed);
  write_text(directory / "labels", idx_bytes({5}, {0, 2, 1, 2, 0}));
  PackOptions options;
  options.output = (directory / "packed").string();
  options.source = "idx";
  options.images = compressed_file;
  options.labels_file = (directory / "labels").string();
  options.labels = {"shirt", "bag", "boot"};
  options.channels = 1;
  pack_dataset(options);
  const auto dataset = PackedDataset::open(options.output);
  EXPECT_EQ(dataset->size(), 5);
  EXPECT_EQ(dataset->class_index(1), 2);
  EXPECT_EQ(dataset->id(3), "images/3")
      << "the file is part of the id: a test set numbers its images too";
  std::vector<uint8_t> scratch;
  EXPECT_EQ(Image(dataset->image(3, 1, scratch)).pixels, picture(6, 7, 1, 3).pixels);

  const std::string gz = read_text(compressed_file);
  write_text(compressed_file, gz.substr(0, gz.size() / 2));
  EXPECT_THAT(error_of([&] { pack_dataset(options); }).message(), HasSubstr("images.gz"));
  write_text(compressed_file, images.substr(0, images.size() - 1));
  EXPECT_THAT(error_of([&] { pack_dataset(options); }).message(), HasSubstr("cut short"));
  write_text(compressed_file, images + "x");
  EXPECT_THAT(error_of([&] { pack_dataset(options); }).message(), HasSubstr("goes on"));
  write_text(compressed_file, images);
  std::swap(options.images, options.labels_file);
  EXPECT_THAT(error_of([&] { pack_dataset(options); }).hint(), HasSubstr("exchanged"));
}

TEST(PackTest, JpegFilesThatFitKeepTheirBytes) {
  TemporaryDirectory directory;
  for (int i = 0; i < 4; ++i)
    write_jpeg(directory / "img" / "x" / ("p" + std::to_string(i) + ".jpg"),
               picture(40, 40, i == 3 ? 1 : 3, i));
  PackOptions options;
  options.output = (directory / "packed").string();
  options.source = "folders";
  options.images = (directory / "img").string();
  options.encoding = "jpeg";
  pack_dataset(options);
  const std::string shard = read_text(directory / "packed" / "shard-000.h5");
  const auto dataset = PackedDataset::open(options.output);
  std::vector<uint8_t> scratch;
  for (int i = 0; i < 4; ++i) {
    const fs::path file = directory / "img" / "x" / ("p" + std::to_string(i) + ".jpg");
    EXPECT_THAT(shard, HasSubstr(read_text(file)));
    EXPECT_EQ(Image(dataset->image(i, 40, scratch)).pixels, read_image(file, 3).pixels);
  }
  EXPECT_EQ(dataset->image(0, 10, scratch).height, 10) << "decoded at a quarter";
}

TEST(PackTest, OptionsAreDecodedStrictlyFromYaml) {
  const auto document = config::Document::parse(
      "output: packed/x\nsource: folders\nimages: img\nfit: crop\nsize_px: 64\n");
  PackOptions options = config::decode<PackOptions>(document);
  EXPECT_EQ(options.size_px, 64);
  resolve_paths(options, "/base");
  EXPECT_EQ(options.output, "/base/packed/x");
  EXPECT_EQ(options.labels_file, "");
  const Error error = error_of([] {
    config::decode<PackOptions>(config::Document::parse(
        "output: x\nsource: folder\nimages: img\nsise_px: 64\nchannels: 5\n"));
  });
  EXPECT_EQ(error.kind(), ErrorKind::kConfiguration);
  EXPECT_THAT(error.what(), HasSubstr("size_px"));
  EXPECT_THAT(error.what(), HasSubstr("folders"));
  PackOptions wrong = options;
  wrong.source = "csv_tags";
  wrong.encoding = "jpeg";
  wrong.also_sizes_px = {32};
  const Error several = error_of([&] { pack_dataset(wrong); });
  EXPECT_EQ(several.kind(), ErrorKind::kConfiguration);
  EXPECT_THAT(several.what(), HasSubstr("labels_file"));
  EXPECT_THAT(several.what(), HasSubstr("also_sizes_px"));
}

TEST(PackTest, ImagesWithoutLabelsMakeATestSet) {
  TemporaryDirectory directory;
  for (int i = 0; i < 3; ++i)
    write_png(directory / "new" / ("n" + std::to_string(i) + ".png"), picture(8, 8, 3, i));
  PackOptions options;
  options.output = (directory / "packed").string();
  options.source = "images";
  options.images = (directory / "new").string();
  options.extension = ".png";
  pack_dataset(options);
  const auto dataset = PackedDataset::open(options.output);
  EXPECT_EQ(dataset->target_kind(), TargetKind::kNone);
  EXPECT_EQ(dataset->id(2), "n2");
  EXPECT_EQ(error_of([&] { dataset->class_index(0); }).kind(), ErrorKind::kInternal);
}

}  // namespace
}  // namespace baleen
