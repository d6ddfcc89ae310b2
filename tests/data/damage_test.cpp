// Damage is found, wherever it is, and forged files are refused.
//
//   BALEEN_DAMAGE="20000 2000" data_damage_test    flips and truncations of the whole campaign, and
//                                                  every byte of a small dataset
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <random>

#include "core/base/digest.h"
#include "data/hdf5/file.h"
#include "data/loader.h"
#include "data/manifest.h"
#include "data/pack/pack.h"
#include "data/packed_dataset.h"
#include "data/shard.h"
#include "data/verify.h"
#include "tests/data/dataset_files.h"

namespace baleen {
namespace {

namespace fs = std::filesystem;
using testing::error_of;
using ::testing::HasSubstr;
using testing::read_text;
using testing::TemporaryDirectory;
using testing::write_text;

struct Campaign {
  int64_t flips = 400;
  int64_t truncations = 60;
  bool exhaustive = false;
};

Campaign campaign() {
  Campaign result;
  if (const char* text = std::getenv("BALEEN_DAMAGE")) {
    result.exhaustive = true;
    EXPECT_EQ(std::sscanf(text, "%ld %ld", &result.flips, &result.truncations), 2) << text;
  }
  return result;
}

fs::path packed(const TemporaryDirectory& directory, const std::string& encoding, int samples) {
  PackOptions options = testing::tagged_chips(directory, samples, 24);
  write_text(directory / "chips" / "broken.png", "no image");
  write_text(directory / "tags.csv", read_text(directory / "tags.csv") + "broken,road\r\n");
  options.encoding = encoding;
  if (encoding == "raw") options.also_sizes_px = {8};
  options.shard_samples = samples / 2 + 1;
  options.bad_images = "quarantine";
  pack_dataset(options);
  return options.output;
}

std::vector<fs::path> files_of(const fs::path& dataset) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(dataset))
    if (entry.is_regular_file() && !entry.path().filename().string().starts_with("."))
      files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

/// A part of a file, for the tally.
std::string part_of(const fs::path& file, uint64_t position) {
  if (file.extension() != ".h5") return file.filename().string();
  const Manifest manifest = read_manifest(file.parent_path());
  for (const ShardEntry& shard : manifest.shards)
    if (shard.file == file.filename())
      for (const auto& [name, place] : shard.places)
        if (static_cast<int64_t>(position) >= place.offset &&
            static_cast<int64_t>(position) < place.offset + place.bytes)
          return name;
  return "between datasets";
}

TEST(DamageTest, EveryRandomFlipIsFoundByVerify) {
  std::mt19937_64 random(20000);
  std::map<std::string, int64_t> tally;
  for (const std::string encoding : {"raw", "jpeg"}) {
    TemporaryDirectory directory;
    const fs::path dataset = packed(directory, encoding, 10);
    const std::vector<fs::path> files = files_of(dataset);
    const int64_t flips = campaign().flips / 2;
    for (int64_t i = 0; i < flips; ++i) {
      // Small files and large ones alike.
      const fs::path& file = files[random() % files.size()];
      const uint64_t position = random() % fs::file_size(file);
      const int bit = static_cast<int>(random() % 8);
      ++tally[encoding + " " + part_of(file, position)];
      testing::flip_bit(file, position, bit);
      const std::vector<std::string> problems =
          verify_dataset(dataset, {.threads = 1 + static_cast<int64_t>(i % 2)});
      testing::flip_bit(file, position, bit);
      ASSERT_FALSE(problems.empty()) << file << " byte " << position << " bit " << bit;
      ASSERT_THAT(problems[0], HasSubstr(file.filename().string()));
    }
    EXPECT_TRUE(verify_dataset(dataset).empty());
  }
  for (const auto& [part, count] : tally) std::printf("%8ld flips in %s\n", count, part.c_str());
}

TEST(DamageTest, EveryTruncationIsFoundByVerifyAndByOpening) {
  std::mt19937_64 random(2000);
  for (const std::string encoding : {"raw", "jpeg"}) {
    TemporaryDirectory directory;
    const fs::path dataset = packed(directory, encoding, 10);
    const std::vector<fs::path> files = files_of(dataset);
    for (int64_t i = 0; i < campaign().truncations / 2; ++i) {
      const fs::path& file = files[random() % files.size()];
      const std::string whole = read_text(file);
      write_text(file, whole.substr(0, random() % whole.size()));
      const std::vector<std::string> problems = verify_dataset(dataset);
      const Error error = error_of([&] { PackedDataset::open(dataset); });
      write_text(file, whole);
      ASSERT_FALSE(problems.empty()) << file;
      if (file.extension() == ".csv") continue;  // not read by training
      ASSERT_EQ(error.kind(), ErrorKind::kData) << file;
      ASSERT_THAT(error.message(), HasSubstr(file.filename().string()));
    }
  }
}

TEST(DamageTest, EveryByteOfASmallDatasetCounts) {
  if (!campaign().exhaustive) GTEST_SKIP() << "BALEEN_DAMAGE is not set; takes minutes";
  TemporaryDirectory directory;
  const fs::path dataset = packed(directory, "raw", 3);
  int64_t flips = 0;
  for (const fs::path& file : files_of(dataset))
    for (uint64_t position = 0; position < fs::file_size(file); ++position, ++flips) {
      const int bit = static_cast<int>(position % 8);
      testing::flip_bit(file, position, bit);
      ASSERT_FALSE(verify_dataset(dataset).empty()) << file << " byte " << position;
      testing::flip_bit(file, position, bit);
    }
  std::printf("%ld bytes, all found\n", flips);
}

/// Reads all that a training reads.
void read_all(const fs::path& dataset) {
  const auto opened = PackedDataset::open(dataset);
  std::vector<uint8_t> scratch;
  for (int64_t row = 0; row < opened->size(); ++row) {
    (void)opened->id(row);
    (void)opened->group(row);
    if (opened->target_kind() == TargetKind::kMultiLabel) (void)opened->labels(row);
    const ImageSize size = opened->image_size();
    opened->image_part(row, {{0, 0, size.height, size.width}, 8, 8}, scratch);
    opened->image(row, 1 << 20, scratch);
  }
}

/// Fixes the manifest after a shard was changed, as a forger would.
void forge(const fs::path& dataset, Manifest manifest) {
  for (ShardEntry& shard : manifest.shards) {
    const std::string bytes = read_text(dataset / shard.file);
    shard.bytes = static_cast<int64_t>(bytes.size());
    shard.digest = digest_hex(bytes);
    for (auto& [name, digest] : shard.datasets) {
      const DatasetPlace place = shard.places[name];
      const auto offset = static_cast<size_t>(std::max<int64_t>(0, place.offset));
      digest = digest_hex(bytes.substr(std::min(offset, bytes.size()),
                                       static_cast<size_t>(std::max<int64_t>(0, place.bytes))));
    }
  }
  write_text(dataset / Manifest::kFileName, manifest_text(manifest));
}

TEST(ForgedDatasetTest, MutatedFilesWithRightDigestsNeverCrash) {
  std::mt19937_64 random(7);
  int64_t refused = 0;
  int64_t rounds = 0;
  const int64_t per_encoding = campaign().exhaustive ? 20000 : 1500;
  for (const std::string encoding : {"raw", "jpeg"}) {
    TemporaryDirectory directory;
    const fs::path dataset = packed(directory, encoding, 6);
    const Manifest manifest = read_manifest(dataset);
    const fs::path shard = dataset / manifest.shards[0].file;
    const std::string whole = read_text(shard);
    const std::vector<int64_t> nasty = {0,
                                        1,
                                        -1,
                                        255,
                                        65536,
                                        int64_t{1} << 31,
                                        int64_t{1} << 62,
                                        std::numeric_limits<int64_t>::max(),
                                        std::numeric_limits<int64_t>::min()};
    for (int64_t i = 0; i < per_encoding; ++i, ++rounds) {
      Manifest forged = manifest;
      std::string bytes = whole;
      ShardEntry& entry = forged.shards[0];
      for (uint64_t change = 0; change <= random() % 4; ++change) {
        auto place =
            std::next(entry.places.begin(), static_cast<int64_t>(random() % entry.places.size()));
        const int64_t value = nasty[random() % nasty.size()];
        switch (random() % 6) {
          case 0:
            bytes[random() % bytes.size()] ^= static_cast<char>(1 << random() % 8);
            break;
          case 1:
            place->second.offset =
                random() % 2 ? value : static_cast<int64_t>(random() % bytes.size());
            break;
          case 2:
            place->second.bytes = random() % 2 ? value : static_cast<int64_t>(random() % 5000);
            break;
          case 3:
            entry.rows = random() % 2 ? value : static_cast<int64_t>(random() % 20);
            forged.rows = entry.rows + (forged.shards.size() > 1 ? forged.shards[1].rows : 0);
            break;
          case 4:
            bytes.resize(random() % 2 ? random() % bytes.size() + 1 : bytes.size() + 100);
            break;
          default:
            if (place->second.bytes >= 8 && place->second.offset >= 0 &&
                place->second.offset <= static_cast<int64_t>(bytes.size()) - 8)
              std::memcpy(bytes.data() + place->second.offset, &value, sizeof value);
        }
      }
      write_text(shard, bytes);
      forge(dataset, forged);
      try {
        read_all(dataset);
      } catch (const Error& error) {
        ASSERT_EQ(error.kind(), ErrorKind::kData) << error.what();
        ++refused;
      }
      (void)verify_dataset(dataset);
    }
  }
  std::printf("%ld forged datasets, %ld refused\n", rounds, refused);
  EXPECT_GT(refused, rounds / 2);
}

/// A dataset of before manifests knew places: opened through HDF5.
fs::path without_places(const fs::path& dataset) {
  Manifest manifest = read_manifest(dataset);
  for (ShardEntry& shard : manifest.shards) shard.places.clear();
  write_text(dataset / Manifest::kFileName, manifest_text(manifest));
  return dataset;
}

TEST(OlderDatasetTest, IsReadThroughHdf5) {
  for (const std::string encoding : {"raw", "jpeg"}) {
    TemporaryDirectory directory;
    const fs::path dataset = packed(directory, encoding, 6);
    const auto now = PackedDataset::open(dataset);
    const auto older = PackedDataset::open(without_places(dataset));
    EXPECT_NE(now->digest(), "");
    std::vector<uint8_t> a, b;
    for (int64_t row = 0; row < now->size(); ++row) {
      EXPECT_EQ(now->id(row), older->id(row));
      EXPECT_EQ(Image(now->image(row, 24, a)).pixels, Image(older->image(row, 24, b)).pixels);
    }
    EXPECT_TRUE(verify_dataset(dataset).empty());
  }
}

TEST(OlderDatasetTest, CraftedHdf5FilesAreDataErrors) {
  const char* python = std::getenv("BALEEN_PYTHON");
  const char* source = std::getenv("BALEEN_SOURCE");
  if (!python || !source) GTEST_SKIP() << "BALEEN_PYTHON is not set";
  TemporaryDirectory directory;
  const fs::path dataset = without_places(packed(directory, "raw", 10));
  const Manifest manifest = read_manifest(dataset);
  const fs::path crafted = directory / "crafted";
  fs::create_directories(crafted);
  const std::string command =
      std::string(python) + " " + source + "/tests/parity/crafted_hdf5.py " + crafted.string();
  ASSERT_EQ(std::system(command.c_str()), 0);
  int files = 0;
  for (const auto& entry : fs::directory_iterator(crafted)) {
    if (entry.path().extension() != ".h5") continue;
    ++files;
    fs::copy_file(entry.path(), dataset / manifest.shards[0].file,
                  fs::copy_options::overwrite_existing);
    Manifest forged = manifest;
    forged.shards[0].bytes = static_cast<int64_t>(fs::file_size(entry.path()));
    if (forged.shards[0].bytes == 0) forged.shards[0].bytes = 1;
    forge(dataset, forged);
    if (fs::file_size(entry.path()) == 0) fs::resize_file(dataset / manifest.shards[0].file, 1);
    const Error error = error_of([&] { read_all(dataset); });
    EXPECT_EQ(error.kind(), ErrorKind::kData) << entry.path() << ": " << error.what();
    EXPECT_THAT(error.what(), HasSubstr(manifest.shards[0].file)) << entry.path();
    EXPECT_FALSE(verify_dataset(dataset).empty()) << entry.path();
    // The layer below, as tables of predictions are read: strings or an error, at no great cost.
    try {
      (void)hdf5::File::open(entry.path()).open_dataset("ids").read_strings();
    } catch (const Error& refused) {
      EXPECT_EQ(refused.kind(), ErrorKind::kData) << entry.path() << ": " << refused.what();
    }
  }
  EXPECT_GE(files, 18);
}

TEST(LargeFileTest, RowsBeyondTwoGigabytesAreReadAtNoCostOfMemory) {
  // A sparse file: 600,000 rows of 64 x 64 px, 7.4e9 bytes, of which next to nothing is on disk.
  TemporaryDirectory directory;
  constexpr int64_t kRows = 600000;
  constexpr int64_t kRowBytes = 64 * 64 * 3;
  std::vector<std::string> ids;
  for (int64_t row = 0; row < kRows; ++row) ids.push_back(std::to_string(row));
  const fs::path shard = directory / "shard-000.h5";
  {
    hdf5::File file = hdf5::File::create(shard);
    file.write_strings("ids", ids);
    file.write_strings("groups", std::vector<std::string>(kRows));
    file.write_strings("copies_of", std::vector<std::string>(kRows));
    file.write<int32_t>("original_sizes", {kRows, 2}, std::vector<int32_t>(2 * kRows, 64));
    const std::string zeros(kRowBytes, '\0');
    file.write<uint32_t>("images_crc32c", {kRows}, std::vector<uint32_t>(kRows, crc32c(zeros)));
    file.create_dataset("images", hdf5::ElementType::kU8, {kRows, 64, 64, 3});
    file.close();
  }
  ASSERT_GT(fs::file_size(shard), int64_t{6} << 30);
  Manifest manifest;
  manifest.channels = 3;
  manifest.resolutions = {{64, 64}};
  manifest.mean_colour = {0, 0, 0};
  manifest.rows = kRows;
  manifest.options = "{}";
  const MappedFile mapped(shard);
  ShardEntry entry{.file = "shard-000.h5",
                   .rows = kRows,
                   .bytes = static_cast<int64_t>(fs::file_size(shard)),
                   .digest = "unknown"};
  for (const auto& [name, bytes] : dataset_bytes(shard, mapped)) {
    entry.places[name] = {bytes.data() - mapped.bytes().data(), static_cast<int64_t>(bytes.size())};
    entry.datasets[name] =
        name == "images" ? "not looked at" : digest_hex(bytes.data(), bytes.size());
  }
  manifest.shards = {entry};
  write_text(directory / Manifest::kFileName, manifest_text(manifest));
  ids = {};

  const auto anonymous_kb = [] {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);)
      if (line.starts_with("RssAnon:")) return std::stol(line.substr(8));
    return 0l;
  };
  ::malloc_trim(0);  // what the making of the file left must not hide what reading takes
  const long before = anonymous_kb();
  const auto dataset = PackedDataset::open(directory.path());
  const long opened = anonymous_kb();
  std::vector<uint8_t> scratch;
  for (int64_t row = 0; row < kRows; row += 7001)
    EXPECT_EQ(dataset->image(row, 64, scratch).pixels[100], 0) << row;
  EXPECT_EQ(dataset->image(kRows - 1, 64, scratch).height, 64);
  EXPECT_EQ(dataset->row_of(std::to_string(kRows - 1)), kRows - 1);
  std::printf("%ld rows: %.1f bytes of memory each\n", kRows,
              static_cast<double>(opened - before) * 1024 / kRows);
  // A training over all rows: its order, its list of micro-batches, and the batches under way.
  TrainingFeedOptions feed;
  feed.shards = {0, 1, 1};
  feed.shuffle.kind = "two_level";
  feed.image.threads = 2;
  feed.image.normalise = resolve_normalisation({}, 3);
  std::vector<int64_t> rows(kRows);
  std::iota(rows.begin(), rows.end(), 0);
  const long read = anonymous_kb();
  const auto source = make_training_source(dataset, std::move(rows), feed);
  source->set_epoch(0, 0);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(source->next()->images_NCHW.size(0), 32);
  std::printf("a loader over them: %.1f MB\n", static_cast<double>(anonymous_kb() - read) / 1024);
#ifndef __SANITIZE_ADDRESS__
  EXPECT_LT(anonymous_kb() - read, kRows * 24 / 1024 + 32 * 1024) << "KB for the loader";
  EXPECT_LT(opened - before, kRows * 24 / 1024) << "KB for the index";
  EXPECT_LT(read - opened, kRows * 8 / 1024 + 1024) << "KB for reading";
#endif
}

}  // namespace
}  // namespace baleen
