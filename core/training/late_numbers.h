#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

namespace baleen {

/// Numbers that a device computes and the host reads some steps later, so that it never waits for
/// the device to catch up. First sent, first received. Used from one thread.
class LateNumbers {
 public:
  virtual ~LateNumbers() = default;
  /// Starts the copy of `values`, 1-D on the device, after what the current stream has to do.
  virtual void send(const at::Tensor& values) = 0;
  /// The values of the oldest send() that were not received yet; waits where they are still under
  /// way.
  virtual std::vector<double> receive() = 0;
};

/// Copies into page-locked memory, of which there is room for `num_slots` sends at a time; each is
/// marked by an event on the current stream.
std::unique_ptr<LateNumbers> make_late_numbers(at::Device device, int64_t num_slots);

}  // namespace baleen
