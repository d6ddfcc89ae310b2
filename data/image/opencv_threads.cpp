#include "data/image/opencv_threads.h"

#include <mutex>
#include <opencv2/core/utility.hpp>

namespace baleen {

void one_thread_inside_opencv() {
  static std::once_flag once;
  std::call_once(once, [] { cv::setNumThreads(1); });
}

}  // namespace baleen
