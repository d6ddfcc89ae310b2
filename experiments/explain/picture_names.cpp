#include "experiments/explain/picture_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "core/base/error.h"

namespace baleen {
namespace {

/// "train 1/2" as part of a file's name.
std::string file_part(const std::string& text) {
  std::string result;
  for (const char c : text) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_';
    result += plain ? c : '_';
  }
  return result;
}

bool is_image(const std::filesystem::directory_entry& entry) {
  static const std::set<std::string> kEndings = {".jpg", ".jpeg", ".png", ".tif", ".tiff"};
  std::string ending = entry.path().extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return entry.is_regular_file() && kEndings.contains(ending);
}

}  // namespace

std::vector<SourceImage> source_images(const std::vector<std::string>& sources) {
  std::vector<SourceImage> images;
  for (const std::string& source : sources) {
    if (!std::filesystem::exists(source))
      throw Error(ErrorKind::kData, fmt::format("there is no image {}", source));
    if (!std::filesystem::is_directory(source)) {
      const std::filesystem::path file(source);
      images.push_back({file, file.stem().string()});
      continue;
    }
    std::vector<std::filesystem::path> inside;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(source)) {
      if (is_image(entry)) inside.push_back(entry.path());
    }
    std::sort(inside.begin(), inside.end());
    for (const std::filesystem::path& file : inside) {
      images.push_back(
          {file, file.lexically_relative(source).replace_extension().generic_string()});
    }
  }
  if (images.empty()) throw Error(ErrorKind::kData, "there are no images to explain");
  return images;
}

std::string PictureNames::next(const std::string& image, const std::string& label,
                               const std::string& method) {
  const std::string wanted =
      fmt::format("{}-{}-{}", file_part(image), file_part(label), file_part(method));
  std::string name = wanted;
  for (int number = 2; !used_.insert(name).second; ++number)
    name = fmt::format("{}-{}", wanted, number);
  return name + ".png";
}

}  // namespace baleen
