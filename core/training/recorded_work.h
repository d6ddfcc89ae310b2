#pragma once

#include <functional>
#include <memory>

namespace baleen {

/// A piece of work on a device that is recorded once and then played back as a whole, without the
/// host launching each of its kernels again: a CUDA graph. Used from one thread.
///
/// What is played back reads and writes the very memory that it read and wrote while it was
/// recorded, and takes random numbers as the device's default generator stands at the play-back.
class RecordedWork {
 public:
  virtual ~RecordedWork() = default;
  /// Runs `work` so that the device only notes what it is to do, and does nothing of it. Memory
  /// that `work` takes stays with this object.
  /// @throws when `work` does, or does what can't be recorded, such as reading a result on the
  /// host; then nothing is kept.
  virtual void record(const std::function<void()>& work) = 0;
  /// Has the device do it, in turn with the current stream's other work.
  virtual void play() = 0;
};

/// Makes an empty recording; empty itself where the device has none.
using RecordedWorkFactory = std::function<std::unique_ptr<RecordedWork>()>;

}  // namespace baleen
