#include "experiments/explain/picture_names.h"

#include <fstream>

#include "tests/data/expect_error.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

TEST(PictureNames, ImagesOfSubfoldersAreToldApart) {
  const testing::TemporaryDirectory folder;
  for (const char* place : {"b", "a"}) {
    std::filesystem::create_directories(folder / "photos" / place);
    std::ofstream(folder / "photos" / place / "1.JPG") << "x";
    std::ofstream(folder / "photos" / place / "notes.txt") << "x";
  }
  std::ofstream(folder / "single.png") << "x";
  std::vector<std::string> names;
  for (const SourceImage& image :
       source_images({(folder / "photos").string(), (folder / "single.png").string()}))
    names.push_back(image.name);
  EXPECT_THAT(names, ::testing::ElementsAre("a/1", "b/1", "single"));
  testing::expect_error(ErrorKind::kData, {"there is no image", "nowhere"},
                        [&] { (void)source_images({(folder / "nowhere").string()}); });
}

TEST(PictureNames, NoFileIsOverwritten) {
  PictureNames names;
  EXPECT_EQ(names.next("a/1", "haze", "gradcam"), "a_1-haze-gradcam.png");
  EXPECT_EQ(names.next("a_1", "haze", "gradcam"), "a_1-haze-gradcam-2.png");
  EXPECT_EQ(names.next("a 1", "haze", "gradcam"), "a_1-haze-gradcam-3.png");
  EXPECT_EQ(names.next("a/1", "haze", "saliency"), "a_1-haze-saliency.png");
}

}  // namespace
}  // namespace baleen
