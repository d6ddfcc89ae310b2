#include "distributed/device.h"

#include <filesystem>

#include "core/base/error.h"
#include "core/base/launch_place.h"
#include "distributed/accelerator.h"

namespace baleen {
c10::Device training_device(const std::string& choice) {
  if (choice == "cpu") return c10::Device(c10::kCPU);
  // Opening the plugin takes a second and half a gigabyte: not where there is no driver.
  if (choice == "auto" && !std::filesystem::exists("/dev/nvidiactl")) return c10::Device(c10::kCPU);
  const AcceleratorStatus& status = accelerator();
  if (!status.available) {
    if (choice == "auto") return c10::Device(c10::kCPU);
    throw Error(ErrorKind::kConfiguration, "training.device is cuda, but " + status.detail,
                "set it to cpu or auto, or run `baleen doctor` on the node");
  }
  return c10::Device(c10::kCUDA,
                     static_cast<c10::DeviceIndex>(launch_place().local_rank % status.num_devices));
}

}  // namespace baleen
