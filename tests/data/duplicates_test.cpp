#include "data/duplicates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/seeds.h"
#include "data/duplicate_report.h"
#include "data/manifest.h"
#include "data/pack/pack.h"
#include "data/packed_dataset.h"
#include "tests/data/dataset_files.h"

namespace baleen {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::scene;
using testing::TemporaryDirectory;
using testing::write_jpeg;
using testing::write_png;
using testing::write_text;

TEST(NearHashesTest, BandsFindExactlyWhatComparingAllPairsFinds) {
  CounterRandom random(3);
  std::vector<uint64_t> a;
  std::vector<uint64_t> b;
  for (int i = 0; i < 300; ++i) a.push_back(random());
  for (int i = 0; i < 300; ++i) {  // copies with up to nine bits flipped, wherever they are
    uint64_t hash = a[random.below(a.size())];
    for (uint64_t flips = random.below(10); flips > 0; --flips)
      hash ^= uint64_t{1} << random.below(64);
    b.push_back(hash);
  }
  for (const int64_t distance : {0, 1, 6, 9, 16}) {
    std::vector<std::pair<size_t, size_t>> between;
    std::vector<std::pair<size_t, size_t>> within;
    for (size_t i = 0; i < a.size(); ++i)
      for (size_t j = 0; j < b.size(); ++j)
        if (hash_distance(a[i], b[j]) <= distance) between.emplace_back(i, j);
    for (size_t i = 0; i < b.size(); ++i)
      for (size_t j = i + 1; j < b.size(); ++j)
        if (hash_distance(b[i], b[j]) <= distance) within.emplace_back(i, j);
    EXPECT_EQ(near_hashes(a, &b, distance), between) << distance;
    EXPECT_EQ(near_hashes(b, nullptr, distance), within) << distance;
    EXPECT_GT(between.size(), 10u);
  }
}

TEST(UnionFindTest, SetsGrowTogether) {
  UnionFind sets(7);
  sets.unite(5, 2);
  sets.unite(6, 1);
  sets.unite(2, 6);
  EXPECT_EQ(sets.find(5), 1u);
  EXPECT_THAT(sets.groups(), ElementsAre(ElementsAre(1, 2, 5, 6)));
}

ImageCollection collection_of(const std::vector<Image>& images) {
  ImageCollection collection;
  for (const Image& image : images)
    collection.signatures.push_back(
        signature_of(image.view(), PerceptualHash::kMedian, image.height, image.width));
  collection.read = [images](size_t i) { return images[i]; };
  return collection;
}

Image changed(Image image, int by, size_t every) {
  for (size_t i = 0; i < image.pixels.size(); i += every)
    image.pixels[i] = static_cast<uint8_t>(std::clamp(image.pixels[i] + by, 0, 255));
  return image;
}

TEST(DuplicateGroupsTest, PicturesAreLinkedDirectlyAndByWayOfOthers) {
  const Image a = scene(64, 64, 3, 1);
  const Image b = scene(64, 64, 3, 7);
  Image flat_grey(64, 64, 3);
  std::fill(flat_grey.pixels.begin(), flat_grey.pixels.end(), uint8_t{90});
  Image flat_white = flat_grey;
  std::fill(flat_white.pixels.begin(), flat_white.pixels.end(), uint8_t{255});
  ImageCollection images = collection_of({a, b, changed(a, 6, 5), flat_grey, flat_white,
                                          changed(a, -6, 3), changed(b, 4, 2), flat_grey});
  for (const int64_t threads : {1, 4})
    EXPECT_THAT(duplicate_groups(images, {}, threads),
                ElementsAre(ElementsAre(0, 2, 5), ElementsAre(1, 6), ElementsAre(3, 7)))
        << "all flat images have one hash, but not one colour";
  images.signatures[2].reset();
  EXPECT_THAT(duplicate_groups(images, {}, 2),
              ElementsAre(ElementsAre(0, 5), ElementsAre(1, 6), ElementsAre(3, 7)));
}

TEST(DuplicateGroupsTest, AnEqualHashIsNotEnough) {
  // The same hash by construction, other pixels.
  ImageCollection images = collection_of({scene(64, 64, 3, 1), scene(64, 64, 3, 7)});
  images.signatures[1]->hash = images.signatures[0]->hash;
  EXPECT_TRUE(duplicate_groups(images, {}, 1).empty());
}

TEST(DuplicateGroupsTest, NearHashesCountForImagesOfOneSizeOnly) {
  const Image image = scene(64, 64, 3, 1);
  ImageCollection images = collection_of({image, image});
  images.signatures[1]->hash ^= 5;
  EXPECT_EQ(duplicate_groups(images, {}, 1).size(), 1u);
  images.signatures[1]->height = 128;
  EXPECT_EQ(duplicate_groups(images, {}, 1).size(), 0u);
  images.signatures[1]->hash ^= 5;
  EXPECT_EQ(duplicate_groups(images, {}, 1).size(), 1u) << "equal hashes may differ in size";
}

TEST(DuplicatesBetweenTest, GivesEveryPair) {
  const Image a = scene(64, 64, 3, 1);
  const Image b = scene(64, 64, 3, 7);
  const auto pairs = duplicates_between(collection_of({b, a}),
                                        collection_of({a, scene(64, 64, 3, 20), a, b}), {}, 2);
  ASSERT_EQ(pairs.size(), 3u);
  EXPECT_EQ(std::tuple(pairs[0].first, pairs[0].second), std::tuple(0u, 3u));
  EXPECT_EQ(std::tuple(pairs[1].first, pairs[1].second), std::tuple(1u, 0u));
  EXPECT_EQ(std::tuple(pairs[2].first, pairs[2].second), std::tuple(1u, 2u));
  EXPECT_EQ(pairs[0].distance, 0);
  EXPECT_LT(pairs[0].error, 1e-9);
}

TEST(PictureErrorTest, KnowsAlikeUnrelatedAndOpposite) {
  const Image image = scene(40, 40, 1, 3);
  Image negative = image;
  for (uint8_t& value : negative.pixels) value = static_cast<uint8_t>(255 - value);
  EXPECT_NEAR(picture_error(image.view(), image.view()), 0, 1e-12);
  EXPECT_NEAR(picture_error(image.view(), negative.view()), 4, 1e-9);
}

// a/0, a/1, b/2 are one picture (as PNG, JPEG, and with another label); the others are not.
PackOptions pictures_with_copies(const TemporaryDirectory& directory) {
  const auto folder = directory / "photos";
  write_png(folder / "a" / "0.png", scene(64, 64, 3, 1));
  write_jpeg(folder / "a" / "1.jpg", scene(64, 64, 3, 1), 95);
  write_png(folder / "b" / "2.png", changed(scene(64, 64, 3, 1), 5, 7));
  for (int i = 3; i < 9; ++i)
    write_png(folder / (i % 2 ? "a" : "b") / (std::to_string(i) + ".png"), scene(64, 64, 3, 5 * i));
  PackOptions options;
  options.output = (directory / "packed").string();
  options.source = "folders";
  options.images = folder.string();
  return options;
}

TEST(PackDuplicatesTest, CopiesOfAPictureShareAGroup) {
  TemporaryDirectory directory;
  PackOptions options = pictures_with_copies(directory);
  options.duplicates.group = true;
  const PackSummary summary = pack_dataset(options);
  EXPECT_THAT(summary.text(), HasSubstr("1 pictures occur more than once, in 3 images; 1 of them "
                                        "with different labels"));
  const auto dataset = PackedDataset::open(options.output);
  const std::string group = dataset->group(dataset->row_of("a/0.png"));
  EXPECT_EQ(group, "like a/0.png");
  EXPECT_EQ(dataset->group(dataset->row_of("a/1.jpg")), group);
  EXPECT_EQ(dataset->group(dataset->row_of("b/2.png")), group);
  EXPECT_EQ(dataset->group(dataset->row_of("a/3.png")), "");
  EXPECT_TRUE(pack_dataset(options).already_complete());
}

TEST(PackDuplicatesTest, GroupsOfTheTableAreJoined) {
  TemporaryDirectory directory;
  PackOptions options = pictures_with_copies(directory);
  options.duplicates.group = true;
  options.image_column = "image";
  options.group_column = "burst";
  options.group_file = (directory / "groups.csv").string();
  write_text(options.group_file,
             "image,burst\na/0.png,x\na/1.jpg,\nb/2.png,w\na/3.png,x\nb/4.png,\na/5.png,z\n"
             "b/6.png,z\na/7.png,\nb/8.png,\n");
  pack_dataset(options);
  const auto dataset = PackedDataset::open(options.output);
  for (const char* id : {"a/0.png", "a/1.jpg", "b/2.png", "a/3.png"})
    EXPECT_EQ(dataset->group(dataset->row_of(id)), "w") << id;
  EXPECT_EQ(dataset->group(dataset->row_of("a/5.png")), "z");
  EXPECT_EQ(dataset->group(dataset->row_of("b/4.png")), "");
}

TEST(DuplicateReportTest, ListsPicturesWithinADatasetAndBetweenTwo) {
  TemporaryDirectory directory;
  const PackOptions options = pictures_with_copies(directory);
  pack_dataset(options);
  const auto dataset = PackedDataset::open(options.output);
  DuplicateReport report = find_duplicates(dataset, {}, {.threads = 2});
  EXPECT_EQ(report.csv,
            "picture,id,label,height,width,representative,ambiguous\n"
            "0,a/0.png,a,64,64,1,1\n0,a/1.jpg,a,64,64,0,1\n0,b/2.png,b,64,64,0,1\n");
  EXPECT_THAT(report.summary, HasSubstr("9 images: 1 pictures occur more than once"));

  PackOptions test = options;
  test.output = (directory / "test").string();
  test.source = "images";
  test.images = (directory / "new").string();
  write_png(directory / "new" / "known.png", scene(64, 64, 3, 25));
  write_png(directory / "new" / "unknown.png", scene(64, 64, 3, 77));
  pack_dataset(test);
  report = match_datasets(PackedDataset::open(test.output), dataset, {}, {.threads = 2});
  EXPECT_EQ(report.csv,
            "id,other_id,distance,error,other_label,ambiguous\n"
            "known.png,a/5.png,0,0.000000,a,0\n");
}

}  // namespace
}  // namespace baleen
