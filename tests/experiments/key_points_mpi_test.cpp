#include "experiments/gallery/key_points.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "data/pack/pack.h"
#include "tests/data/dataset_files.h"
#include "tests/support/mpi_world.h"
#include "tests/support/textured_images.h"

namespace baleen {
namespace {

constexpr int kImages = 7;
constexpr int64_t kSizePx = 96;

/// Packed pictures and masks in a folder that all ranks see.
class KeyPointsTest : public ::testing::Test {
 protected:
  KeyPointsTest() {
    int rank = 0, size = 1;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    std::vector<int> members;
    for (int member = 0; member < size; ++member) members.push_back(member);
    world_ = testing::make_mpi_group(members, 1);
    alone_ = testing::make_mpi_group({rank}, 2 + rank);
    if (rank == 0) directory_ = std::make_unique<testing::TemporaryDirectory>();
    path_ = world_->broadcast(rank == 0 ? directory_->path().string() : std::string(), 0);
    if (rank == 0) {
      std::string csv = "image,tags\n";
      Image mask(kSizePx, kSizePx, 1);
      std::fill_n(mask.pixels.begin(), mask.pixels.size() / 2, uint8_t{255});
      for (int i = 0; i < kImages; ++i) {
        ids_.push_back(fmt::format("image{}", i));
        testing::write_png(path_ / "images" / (ids_.back() + ".png"),
                           testing::textured(kSizePx, static_cast<uint64_t>(i)));
        testing::write_png(path_ / "masks" / (ids_.back() + ".png"), mask);
        csv += ids_.back() + ",whale\n";
      }
      testing::write_text(path_ / "tags.csv", csv);
      PackOptions options;
      options.output = (path_ / "packed").string();
      options.source = "csv_tags";
      options.images = (path_ / "images").string();
      options.labels_file = (path_ / "tags.csv").string();
      options.extension = ".png";
      options.channels = 1;
      pack_dataset(options);
    }
    world_->barrier();
    ids_.clear();
    for (int i = 0; i < kImages; ++i) ids_.push_back(fmt::format("image{}", i));
    source_.images = PackedDataset::open(path_ / "packed");
  }
  ~KeyPointsTest() override {
    world_->barrier();
    alone_->close();
    world_->close();
  }

  static void expect_equal(const std::vector<LocalFeatures>& a,
                           const std::vector<LocalFeatures>& b) {
    EXPECT_EQ(a.size(), b.size());
    for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
      EXPECT_TRUE(at::equal(a[i].points_N2, b[i].points_N2)) << i;
      EXPECT_TRUE(at::equal(a[i].descriptors_N128, b[i].descriptors_N128)) << i;
    }
  }

  std::shared_ptr<Communicator> world_, alone_;
  std::unique_ptr<testing::TemporaryDirectory> directory_;
  std::filesystem::path path_;
  std::vector<std::string> ids_;
  KeyPointSource source_;
};

TEST_F(KeyPointsTest, RanksThreadsAndTheCacheGiveTheSame) {
  KeyPointOptions options;
  const auto alone = find_key_points(source_, ids_, options, *alone_);
  options.threads = 3;
  options.cache = path_ / "cache";
  const auto together = find_key_points(source_, ids_, options, *world_);
  expect_equal(together, alone);
  world_->barrier();
  const auto files = std::distance(std::filesystem::directory_iterator(options.cache),
                                   std::filesystem::directory_iterator());
  EXPECT_EQ(files, kImages);
  world_->barrier();
  // A file that was kept is what is used: one with other points is believed, a damaged one is not.
  if (world_->rank() == 0) {
    std::vector<std::filesystem::path> kept;
    for (const auto& entry : std::filesystem::directory_iterator(options.cache))
      kept.push_back(entry.path());
    testing::write_text(kept[0], "no tensors");
  }
  world_->barrier();
  expect_equal(find_key_points(source_, ids_, options, *world_), alone);
  source_.masks = path_ / "masks";
  const auto masked = find_key_points(source_, ids_, options, *world_);
  for (int i = 0; i < kImages; ++i) {
    EXPECT_LT(masked[i].size(), alone[i].size()) << i;
    EXPECT_LT(masked[i].points_N2.select(1, 1).max().item<float>(), kSizePx / 2 + 1) << i;
  }
}

TEST_F(KeyPointsTest, PairsAreCountedTogether) {
  const auto features = find_key_points(source_, ids_, {}, *alone_);
  std::vector<KeyPointPair> pairs;
  std::vector<int64_t> expected;
  for (int a = 0; a < kImages; ++a) {
    for (int b = 0; b < kImages; ++b) {
      pairs.push_back({a, b});
      expected.push_back(count_inliers(features[a], features[b], {}));
    }
  }
  KeyPointCounter counter(features, {}, 2, *world_);
  if (world_->rank() == 0) {
    EXPECT_EQ(counter.count(pairs), expected);
    EXPECT_EQ(counter.count({}), std::vector<int64_t>());
    EXPECT_EQ(counter.count({pairs[3]}), std::vector<int64_t>{expected[3]});
    counter.finish();
  } else {
    counter.serve();
  }
}

TEST_F(KeyPointsTest, APairThatIsNotThereEndsAllRanks) {
  KeyPointCounter counter(find_key_points(source_, ids_, {}, *alone_), {}, 1, *world_);
  if (world_->rank() == 0) {
    EXPECT_ANY_THROW(counter.count({{0, kImages}}));
    counter.finish();
  } else {
    EXPECT_ANY_THROW(counter.serve());
  }
}

TEST_F(KeyPointsTest, MissingImagesAndMasksAreNamed) {
  const auto message_of = [&](const std::vector<std::string>& ids) {
    return std::string(
        testing::error_of([&] { find_key_points(source_, ids, {}, *alone_); }).what());
  };
  EXPECT_NE(message_of({"image0", "stranger"}).find("'stranger'"), std::string::npos);
  source_.masks = path_ / "nowhere";
  EXPECT_NE(message_of({"image0"}).find("nowhere/image0.png"), std::string::npos);
}

}  // namespace
}  // namespace baleen
