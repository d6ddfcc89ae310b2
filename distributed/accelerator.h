#pragma once

#include <memory>
#include <string>

#include "core/training/recorded_work.h"

namespace baleen {

/// The CUDA side of LibTorch lives in a plugin (libbaleen_cuda.so, beside the program) that is
/// opened only where a GPU is wanted: without it the program starts in half a second and 120 MB.
struct AcceleratorStatus {
  bool available = false;  ///< plugin opened and at least one device seen
  int num_devices = 0;
  int nccl_version = 0;  ///< e.g. 22702; 0 without the plugin
  std::string detail;    ///< why it is not available, or the plugin's path
};

/// Opens the plugin on the first call; later calls return the same answer. Any thread.
const AcceleratorStatus& accelerator();

/// An empty CUDA graph of the current device. @throws Error kInternal where there is none.
std::unique_ptr<RecordedWork> make_cuda_graph();

}  // namespace baleen
