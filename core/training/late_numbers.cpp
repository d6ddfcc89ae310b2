#include "core/training/late_numbers.h"

#include <ATen/ATen.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <optional>

#include "core/base/error.h"

namespace baleen {
namespace {

class PinnedRing final : public LateNumbers {
 public:
  PinnedRing(at::Device device, int64_t num_slots)
      : device_(device), slots_(static_cast<size_t>(num_slots)) {}

  void send(const at::Tensor& values) override {
    if (next_ - oldest_ == slots_.size())
      throw Error(ErrorKind::kInternal, "more numbers are under way than there is room for");
    Slot& slot = slots_[next_++ % slots_.size()];
    slot.count = values.numel();
    if (!slot.room.defined() || slot.room.numel() < slot.count)
      slot.room = at::empty({slot.count}, at::TensorOptions(at::kDouble).pinned_memory(true));
    slot.room.narrow(0, 0, slot.count).copy_(values.detach(), /*non_blocking=*/true);
    const c10::impl::VirtualGuardImpl guard(device_.type());
    if (!slot.arrived) slot.arrived.emplace(device_.type());
    slot.arrived->record(guard.getStream(device_));
  }

  std::vector<double> receive() override {
    if (next_ == oldest_) throw Error(ErrorKind::kInternal, "no numbers are under way");
    Slot& slot = slots_[oldest_++ % slots_.size()];
    slot.arrived->synchronize();
    const double* values = slot.room.const_data_ptr<double>();
    return {values, values + slot.count};
  }

 private:
  struct Slot {
    at::Tensor room;  ///< page-locked; at least count numbers
    int64_t count = 0;
    std::optional<c10::Event> arrived;
  };

  at::Device device_;
  std::vector<Slot> slots_;
  size_t next_ = 0, oldest_ = 0;  ///< counted from the start
};

}  // namespace

std::unique_ptr<LateNumbers> make_late_numbers(at::Device device, int64_t num_slots) {
  return std::make_unique<PinnedRing>(device, num_slots);
}

}  // namespace baleen
