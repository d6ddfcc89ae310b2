#include "distributed/device.h"

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "core/base/error.h"
#include "distributed/accelerator.h"

namespace baleen {
namespace {

/// This rank's number among those of its host; 0 where nothing says.
int local_rank() {
  for (const char* name : {"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "PMI_LOCAL_RANK",
                           "SLURM_LOCALID", "LOCAL_RANK"}) {
    const char* text = std::getenv(name);
    if (!text) continue;
    int value = 0;
    const auto [end, error] = std::from_chars(text, text + std::strlen(text), value);
    if (error == std::errc{} && *end == '\0' && value >= 0) return value;
  }
  return 0;
}

}  // namespace

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
  return c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(local_rank() % status.num_devices));
}

}  // namespace baleen
