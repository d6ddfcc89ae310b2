#pragma once

namespace baleen {

/// Callers work on many images at once: OpenCV's own threads would only get in their way. Takes
/// effect once for the process.
void one_thread_inside_opencv();

}  // namespace baleen
