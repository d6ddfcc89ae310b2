#include "data/library_versions.h"

#include <H5public.h>
#include <fmt/format.h>

#include <opencv2/core/utility.hpp>
#include <opencv2/core/version.hpp>

namespace baleen {
namespace {

std::string describe(const std::string& loaded, const std::string& headers) {
  return loaded == headers ? loaded
                           : fmt::format("{} (built with the headers of {})", loaded, headers);
}

}  // namespace

std::string hdf5_library_version() {
  unsigned major = 0;
  unsigned minor = 0;
  unsigned release = 0;
  if (H5get_libversion(&major, &minor, &release) < 0) return "unknown";
  return describe(fmt::format("{}.{}.{}", major, minor, release),
                  fmt::format("{}.{}.{}", H5_VERS_MAJOR, H5_VERS_MINOR, H5_VERS_RELEASE));
}

std::string opencv_library_version() { return describe(cv::getVersionString(), CV_VERSION); }

}  // namespace baleen
