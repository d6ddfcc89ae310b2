#include "data/packed_dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "core/base/digest.h"
#include "data/hdf5/file.h"
#include "data/inspect.h"
#include "data/manifest.h"
#include "data/mapped_file.h"
#include "data/pack/pack.h"
#include "data/shard.h"
#include "data/verify.h"
#include "tests/data/dataset_files.h"

#ifdef __SANITIZE_ADDRESS__
// HDF5 1.10 forgets what it read of a file when it finds the metadata damaged; a few hundred bytes
// per flipped bit.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() { return "leak:libhdf5"; }
#endif

namespace baleen {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using testing::error_of;
using testing::flip_bit;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::picture;
using testing::read_text;
using testing::TemporaryDirectory;
using testing::write_text;

enum class Kind { kTags, kClasses };

// Twelve samples in two shards: raw with a second size and tags, or JPEG with classes.
fs::path packed(const TemporaryDirectory& directory, Kind kind = Kind::kTags) {
  std::string csv = kind == Kind::kTags ? "image,tags\n" : "image,id\n";
  for (int i = 0; i < 12; ++i) {
    const std::string name = "s" + std::to_string(i) + ".png";
    testing::write_png(directory / "images" / name, picture(16, 16, 3, i));
    csv += name + (i % 2 == 0 ? ",even\n" : ",odd\n");
  }
  write_text(directory / "images" / "broken.png", "not an image");
  write_text(directory / "labels.csv", csv + "broken.png,odd\n");
  PackOptions options;
  options.output = (directory / "packed").string();
  options.source = kind == Kind::kTags ? "csv_tags" : "csv_ids";
  options.images = (directory / "images").string();
  options.labels_file = (directory / "labels.csv").string();
  options.bad_images = "quarantine";
  options.shard_samples = 7;
  if (kind == Kind::kTags) options.also_sizes_px = {8};
  if (kind == Kind::kClasses) options.encoding = "jpeg";
  pack_dataset(options);
  return options.output;
}

// Where a dataset's bytes lie in a shard file.
std::pair<uint64_t, uint64_t> place_of(const fs::path& file, const std::string& dataset) {
  const auto opened = hdf5::File::open(file).open_dataset(dataset);
  return {*opened.offset(), opened.num_bytes()};
}

TEST(PackedDatasetTest, AFlippedPayloadByteIsNamedByFileRowAndIdWhenTheRowIsRead) {
  for (const Kind kind : {Kind::kTags, Kind::kClasses}) {
    TemporaryDirectory directory;
    const fs::path dataset_directory = packed(directory, kind);
    const fs::path shard = dataset_directory / "shard-001.h5";
    const auto [offset, size] = place_of(shard, kind == Kind::kTags ? "images" : "jpeg");
    flip_bit(shard, offset + size - 20, 3);  // in the last row: s11
    const auto dataset = PackedDataset::open(dataset_directory);
    std::vector<uint8_t> scratch;
    for (int64_t row = 0; row < 11; ++row) EXPECT_EQ(dataset->image(row, 16, scratch).height, 16);
    for (int attempt = 0; attempt < 2; ++attempt) {
      const Error error = error_of([&] { dataset->image(11, 16, scratch); });
      EXPECT_EQ(error.kind(), ErrorKind::kData);
      EXPECT_THAT(error.message(), HasSubstr("shard-001.h5"));
      EXPECT_THAT(error.message(), HasSubstr("row 4"));
      EXPECT_THAT(error.message(), HasSubstr("'s11.png'"));
      EXPECT_THAT(error.message(), HasSubstr("checksum"));
    }
    if (kind == Kind::kTags) {
      EXPECT_EQ(dataset->image(11, 8, scratch).height, 8) << "the other size is whole";
    }
  }
}

TEST(PackedDatasetTest, ManyThreadsReadTheSamePixels) {
  TemporaryDirectory directory;
  const auto dataset = PackedDataset::open(packed(directory));
  std::vector<std::string> failures(4);
  {
    std::vector<std::jthread> threads;
    for (size_t t = 0; t < failures.size(); ++t)
      threads.emplace_back([&, t] {
        std::vector<uint8_t> scratch;
        for (int round = 0; round < 50; ++round)
          for (int64_t row = 0; row < dataset->size(); ++row)
            if (Image(dataset->image(row, 16, scratch)).pixels !=
                picture(16, 16, 3, static_cast<int>(row)).pixels)
              failures[t] = dataset->id(row);
      });
  }
  for (const std::string& failure : failures) EXPECT_EQ(failure, "");
}

TEST(PackedDatasetTest, MissingTruncatedAndExchangedShardsAreNamed) {
  TemporaryDirectory directory;
  const fs::path dataset = packed(directory);
  const fs::path shard = dataset / "shard-001.h5";
  const std::string whole = read_text(shard);
  const auto open_error = [&] { return error_of([&] { PackedDataset::open(dataset); }); };

  fs::resize_file(shard, whole.size() - 100);
  EXPECT_EQ(open_error().kind(), ErrorKind::kData);
  EXPECT_THAT(open_error().message(), HasSubstr("shard-001.h5 has"));
  fs::remove(shard);
  EXPECT_EQ(open_error().kind(), ErrorKind::kData);
  EXPECT_THAT(open_error().message(), HasSubstr("shard-001.h5"));
  write_text(shard, std::string(whole.size(), 'x'));
  EXPECT_EQ(open_error().kind(), ErrorKind::kData);
  write_text(shard, whole);
  EXPECT_EQ(PackedDataset::open(dataset)->size(), 12);
  EXPECT_EQ(error_of([&] { PackedDataset::open(directory.path()); }).kind(), ErrorKind::kData);
}

TEST(PackedDatasetTest, AManifestOfANewerVersionOrChangedByHandIsRefused) {
  TemporaryDirectory directory;
  const fs::path dataset = packed(directory);
  const fs::path manifest = dataset / "manifest.json";
  const std::string whole = read_text(manifest);
  const auto change = [&](const std::string& from, const std::string& to) {
    std::string text = whole;
    const size_t position = text.find(from);
    EXPECT_NE(position, std::string::npos) << from;
    write_text(manifest, text.replace(position, from.size(), to));
    return error_of([&] { PackedDataset::open(dataset); });
  };
  const Error newer = change("\"version\": 2", "\"version\": 99");
  EXPECT_EQ(newer.kind(), ErrorKind::kData);
  EXPECT_THAT(newer.message(), HasSubstr("version 99"));
  for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
           {"\"even\"", "\"evil\""},
           {"\"rows\": 12", "\"rows\": 13"},
           {"\"copies\": 0", "\"copies\": 13"},
           {"\"variants\": []", "\"variants\": [\"no such\"]"},
           {"\"channels\": 3", "\"channels\": 1"},
           {"\"channels\": 3", "\"channels\": 1e300"},
           {"\"channels\": 3", "\"channels\": \"3\""},
           {"shard-000.h5", "../etc/passwd"},
           {"{", ""},
           {"{", "[{"},
           {"\"resolutions\": [", "\"resolutions\": [[0, 16],"},
           {"\n", " \n"}}) {
    const Error error = change(from, to);
    EXPECT_EQ(error.kind(), ErrorKind::kData) << from << " -> " << to;
    EXPECT_THAT(error.message(), HasSubstr("manifest.json")) << from << " -> " << to;
  }
  write_text(manifest, "");
  EXPECT_EQ(error_of([&] { PackedDataset::open(dataset); }).kind(), ErrorKind::kData);
}

// A dataset whose manifest agrees with whatever its one shard holds, as a crafted one would.
template <class Change>
Error error_of_crafted(Kind kind, Change&& change) {
  TemporaryDirectory directory;
  const fs::path dataset = packed(directory, kind);
  Manifest manifest = read_manifest(dataset);
  const fs::path shard = dataset / manifest.shards[0].file;
  change(shard, manifest);
  manifest.shards[0].bytes = static_cast<int64_t>(fs::file_size(shard));
  try {
    manifest.shards[0] = describe_shard(shard, manifest.shards[0].rows);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(),
              ErrorKind::kData);  // beyond description; what reads it must still not crash
  }
  write_text(dataset / "manifest.json", manifest_text(manifest));
  return error_of([&] {
    const auto opened = PackedDataset::open(dataset);
    std::vector<uint8_t> scratch;
    for (int64_t row = 0; row < opened->size(); ++row) opened->image(row, 1 << 20, scratch);
  });
}

template <class T>
void overwrite(const fs::path& shard, const std::string& name, int64_t row,
               const std::vector<T>& values) {
  hdf5::File file = hdf5::File::open_for_update(shard);
  file.open_dataset(name).write_rows<T>(row, 1, values);
  file.close();
}

TEST(PackedDatasetTest, CraftedShardsAreDataErrorsNotCrashes) {
  const auto expect_data_error = [](const Error& error, const std::string& part) {
    EXPECT_EQ(error.kind(), ErrorKind::kData) << part;
    EXPECT_THAT(error.what(), HasSubstr(part));
  };
  expect_data_error(error_of_crafted(Kind::kClasses,
                                     [](const fs::path& shard, Manifest&) {
                                       overwrite<int64_t>(shard, "jpeg_offsets", 3,
                                                          {int64_t{1} << 60});
                                     }),
                    "jpeg_offsets");
  expect_data_error(error_of_crafted(Kind::kClasses,
                                     [](const fs::path& shard, Manifest&) {
                                       overwrite<int64_t>(shard, "jpeg_offsets", 0, {-5});
                                     }),
                    "jpeg_offsets");
  expect_data_error(error_of_crafted(Kind::kClasses,
                                     [](const fs::path& shard, Manifest&) {
                                       overwrite<int32_t>(shard, "classes", 2, {2});
                                     }),
                    "classes");
  expect_data_error(error_of_crafted(Kind::kTags,
                                     [](const fs::path& shard, Manifest&) {
                                       overwrite<uint8_t>(shard, "labels", 2, {1, 7});
                                     }),
                    "labels");
  expect_data_error(error_of_crafted(Kind::kTags,
                                     [](const fs::path&, Manifest& manifest) {
                                       manifest.resolutions[0] = {4000, 4000};
                                     }),
                    "images has 5376 bytes where the manifest asks for 7 times");
  expect_data_error(error_of_crafted(Kind::kTags,
                                     [](const fs::path&, Manifest& manifest) {
                                       manifest.channels = 1, manifest.mean_colour = {1};
                                     }),
                    "images has 5376 bytes where the manifest asks for 7 times");
  expect_data_error(error_of_crafted(Kind::kTags,
                                     [](const fs::path& shard, Manifest&) {
                                       hdf5::File file = hdf5::File::create(shard);
                                       file.write<double>("ids", {7}, std::vector<double>(7));
                                       file.close();
                                     }),
                    "no dataset 'groups'");
  expect_data_error(error_of_crafted(Kind::kTags,
                                     [](const fs::path& shard, Manifest&) {
                                       hdf5::File file = hdf5::File::create(shard);
                                       file.create_group("ids");
                                       file.close();
                                     }),
                    "reaches beyond the end of the file");
  // A JPEG of another size, its checksum in order.
  expect_data_error(error_of_crafted(Kind::kClasses,
                                     [](const fs::path&, Manifest& manifest) {
                                       manifest.resolutions[0] = {17, 16};
                                     }),
                    "decodes to 16 x 16");
}

TEST(VerifyTest, AWholeDatasetHasNoProblems) {
  for (const Kind kind : {Kind::kTags, Kind::kClasses}) {
    TemporaryDirectory directory;
    EXPECT_THAT(verify_dataset(packed(directory, kind)), IsEmpty());
  }
}

TEST(VerifyTest, EveryFlippedBitOfEveryFileIsFound) {
  for (const Kind kind : {Kind::kTags, Kind::kClasses}) {
    TemporaryDirectory directory;
    const fs::path dataset = packed(directory, kind);
    int64_t flips = 0;
    for (const auto& entry : fs::directory_iterator(dataset)) {
      const std::string whole = read_text(entry.path());
      // Every byte of the small files, every 13th of the shards.
      const size_t stride = entry.path().extension() == ".h5" ? 13 : 1;
      for (size_t position = 0; position < whole.size(); position += stride) {
        flip_bit(entry.path(), position, static_cast<int>(position % 8));
        const std::vector<std::string> problems = verify_dataset(dataset);
        ASSERT_THAT(problems, ::testing::Not(IsEmpty())) << entry.path() << " byte " << position;
        EXPECT_THAT(problems[0], HasSubstr(entry.path().filename().string())) << position;
        flip_bit(entry.path(), position, static_cast<int>(position % 8));
        ++flips;
      }
    }
    EXPECT_THAT(verify_dataset(dataset), IsEmpty());
    std::printf("%ld flips found\n", flips);
  }
}

TEST(VerifyTest, DamageIsNamedByDatasetRowAndId) {
  TemporaryDirectory directory;
  const fs::path dataset = packed(directory);
  const fs::path shard = dataset / "shard-000.h5";
  constexpr const char* kIndexRow = "does not match its checksum";
  const auto problems_with = [&](const std::string& name, uint64_t byte) {
    const uint64_t position = place_of(shard, name).first + byte;
    flip_bit(shard, position);
    const std::vector<std::string> problems = verify_dataset(dataset);
    flip_bit(shard, position);
    return problems;
  };
  EXPECT_THAT(problems_with("images", 2 * 768 + 5),
              ElementsAre(HasSubstr("images, row 2 ('s2.png') does not match its checksum"),
                          HasSubstr("dataset images does not match its digest")));
  EXPECT_THAT(problems_with("images_8", 6 * 192),
              ElementsAre(HasSubstr("images_8, row 6 ('s6.png')"), HasSubstr("dataset images_8")));
  EXPECT_THAT(problems_with("images_crc32c", 4), ElementsAre(HasSubstr("images, row 1 ('s1.png')"),
                                                             HasSubstr("dataset images_crc32c")));
  // 3 / 2 labels: row 1.
  const std::vector<std::string> of_labels = problems_with("labels", 3);
  EXPECT_THAT(of_labels, ::testing::Contains(::testing::AllOf(HasSubstr("row 1 ('s1.png')"),
                                                              HasSubstr(kIndexRow))));
  EXPECT_THAT(of_labels, ::testing::Contains(HasSubstr("dataset labels does not match")));
  EXPECT_THAT(problems_with("original_sizes", 8 * 4),
              ElementsAre(::testing::AllOf(HasSubstr("row 4 ('s4.png')"), HasSubstr(kIndexRow)),
                          HasSubstr("dataset original_sizes")));
  EXPECT_THAT(problems_with("index_crc32c", 4 * 6),
              ElementsAre(::testing::AllOf(HasSubstr("row 6 ('s6.png')"), HasSubstr(kIndexRow)),
                          HasSubstr("dataset index_crc32c")));
  fs::remove(dataset / "quarantine.csv");
  EXPECT_THAT(verify_dataset(dataset), ElementsAre(HasSubstr("quarantine.csv: is missing")));
  fs::remove(shard);
  EXPECT_THAT(verify_dataset(dataset), ::testing::Contains(HasSubstr("shard-000.h5")));
  EXPECT_THAT(verify_dataset(directory.path()), ElementsAre(HasSubstr("no packed dataset")));
}

TEST(InspectTest, SummaryNamesRowsSizesLabelsAndDigest) {
  TemporaryDirectory directory;
  const fs::path dataset = packed(directory);
  const std::string text = inspect_dataset(dataset);
  EXPECT_THAT(text, HasSubstr("12 (any number of labels each)"));
  EXPECT_THAT(text, HasSubstr("16 x 16, 8 x 8 px"));
  EXPECT_THAT(text, HasSubstr("2 shards"));
  EXPECT_THAT(text, HasSubstr("1 bad images"));
  EXPECT_THAT(text, HasSubstr(PackedDataset::open(dataset)->digest()));
  EXPECT_THAT(text, ::testing::ContainsRegex("even +6 +50.00 %"));
}

TEST(ContactSheetTest, ShowsTheSamplesInAGrid) {
  TemporaryDirectory directory;
  const auto dataset = PackedDataset::open(packed(directory));
  const std::vector<int64_t> rows = {0, 3, 5, 11, 2};
  write_contact_sheet(*dataset, rows, directory / "sheet.png", {.columns = 3, .cell_px = 64});
  const Image sheet = read_image(directory / "sheet.png", 3);
  EXPECT_EQ(sheet.width, 8 + 3 * 72);
  EXPECT_EQ(sheet.height, 8 + 2 * (64 + 34 + 8));
  // The second sample lies in the second cell, enlarged four times.
  const Image expected = resize_image(picture(16, 16, 3, 3).view(), 64, 64);
  for (const int64_t y : {5, 33, 60})
    for (int64_t i = 0; i < 64 * 3; ++i)
      ASSERT_EQ(sheet.pixels[static_cast<size_t>(((8 + y) * sheet.width + 80) * 3 + i)],
                expected.pixels[static_cast<size_t>(y * 64 * 3 + i)]);
  // Text below it, nothing in the empty sixth cell.
  const auto darkest = [&](int64_t top, int64_t left, int64_t height, int64_t width) {
    int value = 255;
    for (int64_t y = top; y < top + height; ++y)
      for (int64_t x = left; x < left + width; ++x)
        value = std::min<int>(value, sheet.pixels[static_cast<size_t>((y * sheet.width + x) * 3)]);
    return value;
  };
  EXPECT_LT(darkest(8 + 64, 80, 34, 64), 100);
  EXPECT_EQ(darkest(8 + 106, 8 + 2 * 72, 98, 64), 255);
  EXPECT_EQ(error_of([&] { write_contact_sheet(*dataset, {}, directory / "none.png"); }).kind(),
            ErrorKind::kUsage);
  EXPECT_EQ(label_text(*dataset, 0), "even");
}

}  // namespace
}  // namespace baleen
