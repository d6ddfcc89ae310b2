#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <vector>

namespace baleen {

/// An image to explain, and how pages and files call it.
struct SourceImage {
  std::filesystem::path file;
  std::string name;  ///< without its ending; of a folder's images with the path below it: "a/1"
};

/// The given files, and all images below the given folders, each folder's in the order of paths.
/// @throws Error kData where one is missing, or there is no image at all.
std::vector<SourceImage> source_images(const std::vector<std::string>& sources);

/// Names of files, no two alike: what is no letter, digit, '-' or '_' becomes '_', and names that
/// then occurred before get a number.
class PictureNames {
 public:
  /// E.g. "a_1-haze-gradcam.png", the second time "a_1-haze-gradcam-2.png".
  std::string next(const std::string& image, const std::string& label, const std::string& method);

 private:
  std::set<std::string> used_;
};

}  // namespace baleen
