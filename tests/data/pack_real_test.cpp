// Packs the real images and compares with what Python makes of the same files.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>

#include "core/base/stopwatch.h"
#include "data/inspect.h"
#include "data/manifest.h"
#include "data/pack/pack.h"
#include "data/packed_dataset.h"
#include "data/verify.h"
#include "tests/data/dataset_files.h"

namespace baleen {
namespace {

namespace fs = std::filesystem;
using testing::TemporaryDirectory;

// Runs tests/parity/<script> with the arguments; it prints what differs and fails.
int run_python(const std::string& script, const std::vector<std::string>& arguments) {
  std::string command = std::string(std::getenv("BALEEN_PYTHON")) + " " +
                        std::getenv("BALEEN_SOURCE") + "/tests/parity/" + script;
  for (const std::string& argument : arguments) command += " " + argument;
  return std::system(command.c_str());
}

PackOptions planet(const TemporaryDirectory& directory) {
  const fs::path data = testing::real_data() / "planet";
  PackOptions options;
  options.output = (directory / "planet").string();
  options.source = "csv_tags";
  options.images = (data / "train").string();
  options.labels_file = (data / "labels.csv").string();
  options.image_column = "image_name";
  options.extension = ".jpg";
  return options;
}

TEST(PackRealTest, PlanetChipsAgreeWithPillowAndTheirTable) {
  if (testing::real_data().empty()) GTEST_SKIP() << "BALEEN_DATA holds no real images";
  TemporaryDirectory directory;
  PackOptions options = planet(directory);
  options.also_sizes_px = {64};
  auto start = std::chrono::steady_clock::now();
  pack_dataset(options);
  std::printf("packed 797 chips in %.2f s\n", seconds_since(start));
  start = std::chrono::steady_clock::now();
  EXPECT_TRUE(pack_dataset(options).already_complete());
  EXPECT_LT(seconds_since(start), 2);
  const auto dataset = PackedDataset::open(options.output);
  EXPECT_EQ(dataset->size(), 797);
  EXPECT_EQ(dataset->label_names().size(), 17u);
  EXPECT_TRUE(verify_dataset(options.output).empty());
  if (!std::getenv("BALEEN_PYTHON"))
    GTEST_SKIP() << "BALEEN_PYTHON is not set: not compared with Pillow and h5py";
  EXPECT_EQ(run_python("pack_planet.py", {options.output, testing::real_data() / "planet"}), 0);
}

TEST(PackRealTest, PlanetChipsAsJpegTakeAFractionOfTheSpace) {
  if (testing::real_data().empty()) GTEST_SKIP() << "BALEEN_DATA holds no real images";
  TemporaryDirectory directory;
  PackOptions options = planet(directory);
  options.encoding = "jpeg";
  options.limit_total = 100;
  pack_dataset(options);
  const Manifest manifest = read_manifest(options.output);
  EXPECT_LT(manifest.shards.at(0).bytes, int64_t{100} * 256 * 256 * 3 / 5);
  const auto dataset = PackedDataset::open(options.output);
  std::vector<uint8_t> scratch;
  double error = 0;
  for (int64_t row = 0; row < dataset->size(); ++row) {
    const Image stored(dataset->image(row, 256, scratch));
    const Image original = read_image(fs::path(options.images) / (dataset->id(row) + ".jpg"), 3);
    for (size_t i = 0; i < stored.pixels.size(); ++i)
      error += std::abs(stored.pixels[i] - original.pixels[i]);
  }
  error /= 100.0 * 256 * 256 * 3;
  std::printf("mean absolute error of encoding again: %.3f levels\n", error);
  EXPECT_GT(error, 0.1) << "these files have four components and can't keep their bytes";
  EXPECT_LT(error, 3);
  EXPECT_EQ(dataset->image(0, 64, scratch).height, 64);
}

TEST(PackRealTest, LionsBecomeOneClassPerFolder) {
  if (testing::real_data().empty()) GTEST_SKIP() << "BALEEN_DATA holds no real images";
  TemporaryDirectory directory;
  PackOptions options;
  options.output = (directory / "lions").string();
  options.source = "folders";
  options.images = (testing::real_data() / "lion" / "train").string();
  options.fit = "squash";
  options.size_px = 64;
  const PackSummary summary = pack_dataset(options);
  std::map<std::string, int64_t> expected;
  for (const auto& entry : fs::recursive_directory_iterator(options.images))
    if (entry.is_regular_file()) ++expected[entry.path().parent_path().filename()];
  const Manifest manifest = read_manifest(options.output);
  EXPECT_EQ(manifest.label_names.size(), 75u);
  for (size_t l = 0; l < manifest.label_names.size(); ++l)
    EXPECT_EQ(manifest.label_counts[l], expected[manifest.label_names[l]])
        << manifest.label_names[l];
  EXPECT_TRUE(summary.notes.empty());
}

TEST(PackRealTest, FashionMnistAgreesWithItsFiles) {
  const fs::path folder = "/usr/share/datasets/fashion-mnist";
  if (!fs::exists(folder))
    GTEST_SKIP() << "Debian's package dataset-fashion-mnist is not installed";
  TemporaryDirectory directory;
  PackOptions options;
  options.output = (directory / "fashion").string();
  options.source = "idx";
  options.images = (folder / "t10k-images-idx3-ubyte.gz").string();
  options.labels_file = (folder / "t10k-labels-idx1-ubyte.gz").string();
  options.labels = {"t-shirt", "trouser", "pullover", "dress", "coat",
                    "sandal",  "shirt",   "sneaker",  "bag",   "boot"};
  options.channels = 1;
  options.fit = "squash";
  options.size_px = 32;
  const auto start = std::chrono::steady_clock::now();
  pack_dataset(options);
  std::printf("packed 10000 images in %.2f s\n", seconds_since(start));
  const Manifest manifest = read_manifest(options.output);
  EXPECT_THAT(manifest.label_counts, ::testing::Each(1000));
  EXPECT_EQ(manifest.rows, 10000);
  options.output = (directory / "small").string();
  options.fit = "none";
  options.size_px = 0;
  options.limit_per_label = 50;
  pack_dataset(options);
  EXPECT_THAT(read_manifest(options.output).label_counts, ::testing::Each(50));
  if (!std::getenv("BALEEN_PYTHON"))
    GTEST_SKIP() << "BALEEN_PYTHON is not set: pixels not compared with numpy";
  EXPECT_EQ(run_python("pack_fashion.py", {options.output, options.images, options.labels_file}),
            0);
}

// Image files below a folder, by id as the packer names them.
std::map<std::string, fs::path> files_below(const fs::path& folder) {
  std::map<std::string, fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string extension = entry.path().extension();
    if (entry.is_regular_file() &&
        (extension == ".jpg" || extension == ".png" || extension == ".tif"))
      files[entry.path().lexically_relative(folder).generic_string()] = entry.path();
  }
  return files;
}

TEST(PackRealTest, EveryKindOfSourceHasPillowsMeanColourAndTheRightCounts) {
  if (testing::real_data().empty()) GTEST_SKIP() << "BALEEN_DATA holds no real images";
  const char* python = std::getenv("BALEEN_PYTHON");
  if (!python) GTEST_SKIP() << "BALEEN_PYTHON is not set: not compared with Pillow";
  TemporaryDirectory directory;
  const fs::path data = testing::real_data();
  const std::string unzip =
      fmt::format("'{}' -m zipfile -e '{}' '{}'", python,
                  (data / "omniglot" / "images_background_small1.zip").string(),
                  (directory / "unzipped").string());
  ASSERT_EQ(std::system(unzip.c_str()), 0);
  nlohmann::json listing = nlohmann::json::array();
  struct Source {
    std::string name;
    fs::path folder;
    std::string source;
    int64_t channels;
    int64_t at_least;
  };
  const std::vector<Source> sources = {
      {"tif", data / "planet" / "tif", "images", 3, 3},
      {"lion-train", data / "lion" / "train", "folders", 3, 100},
      {"lion-val", data / "lion" / "val", "folders", 3, 20},
      {"plants", data / "dandelion_grass", "folders", 3, 100},
      {"omniglot", directory / "unzipped" / "images_background_small1", "folders", 1, 2000}};
  for (const Source& source : sources) {
    PackOptions options;
    options.output = (directory / source.name).string();
    options.source = source.source;
    options.images = source.folder.string();
    options.channels = source.channels;
    options.fit = "squash";
    options.size_px = 64;
    pack_dataset(options);
    const std::map<std::string, fs::path> files = files_below(source.folder);
    EXPECT_GE(std::ssize(files), source.at_least) << source.name;
    nlohmann::json entry = {{"packed", options.output},
                            {"files", nlohmann::json::object()},
                            {"labels", nlohmann::json::object()}};
    for (const auto& [id, file] : files) {
      entry["files"][id] = file.string();
      if (source.source != "folders") continue;
      nlohmann::json& count = entry["labels"][id.substr(0, id.find('/'))];
      count = count.is_null() ? 1 : count.get<int>() + 1;
    }
    listing.push_back(entry);
    EXPECT_TRUE(verify_dataset(options.output).empty());
  }
  testing::write_text(directory / "listing.json", listing.dump());
  EXPECT_EQ(run_python("pack_means.py", {(directory / "listing.json").string()}), 0);
}

TEST(PackRealTest, AFullDiskIsAStorageErrorThatLeavesNothing) {
  TemporaryDirectory directory;
  for (int i = 0; i < 40; ++i)
    testing::write_png(directory / "img" / "a" / ("p" + std::to_string(i) + ".png"),
                       testing::picture(64, 64, 3, i));
  PackOptions options;
  options.output = (directory / "packed").string();
  options.source = "folders";
  options.images = (directory / "img").string();
  // Too small for the spool (480 kB), and just too small for the HDF5 file itself.
  for (const rlim_t limit_bytes : {rlim_t{100'000}, rlim_t{40 * 64 * 64 * 3}}) {
    const pid_t child = fork();
    if (child == 0) {
      std::signal(SIGXFSZ, SIG_IGN);
      const rlimit limit{limit_bytes, limit_bytes};
      setrlimit(RLIMIT_FSIZE, &limit);
      const Error error = testing::error_of([&] { pack_dataset(options); });
      std::fprintf(stderr, "%s\n", error.what());
      std::exit(error.kind() == ErrorKind::kStorage && !fs::exists(directory / "packed") &&
                        !fs::exists(directory / "packed.packing")
                    ? 42
                    : 1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status)) << "ended by signal " << WTERMSIG(status);
    EXPECT_EQ(WEXITSTATUS(status), 42) << limit_bytes;
  }
}

}  // namespace
}  // namespace baleen
