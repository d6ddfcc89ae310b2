#include "distributed/accelerator.h"

#include <dlfcn.h>

#include <filesystem>

#include "distributed/nccl_backend.h"

namespace baleen {
namespace {

/// The plugin's entry point: writes the graph to `out`.
using MakeCudaGraph = void (*)(std::unique_ptr<RecordedWork>& out);

struct Plugin {
  AcceleratorStatus status;
  MakeNcclBackend make_nccl = nullptr;
  MakeCudaGraph make_graph = nullptr;
};

/// $BALEEN_CUDA_PLUGIN, else beside the program, else ../lib of it.
std::vector<std::filesystem::path> candidates() {
  std::vector<std::filesystem::path> result;
  if (const char* named = std::getenv("BALEEN_CUDA_PLUGIN")) return {named};
  std::error_code ignored;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", ignored);
  for (const char* place : {"libbaleen_cuda.so", "../lib/libbaleen_cuda.so"}) {
    result.push_back(program.parent_path() / place);
  }
  return result;
}

Plugin open_plugin() {
  Plugin plugin;
  plugin.status.detail =
      "the CUDA plugin libbaleen_cuda.so is not beside the program: it is built where CUDA headers "
      "are found";
  for (const auto& path : candidates()) {
    if (!std::filesystem::exists(path)) continue;
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
    if (!library) {
      plugin.status.detail = std::string("the CUDA plugin could not be opened: ") + dlerror();
      return plugin;
    }
    const auto count = reinterpret_cast<int (*)()>(dlsym(library, "baleen_cuda_device_count"));
    const auto version = reinterpret_cast<int (*)()>(dlsym(library, "baleen_nccl_version"));
    plugin.make_nccl =
        reinterpret_cast<MakeNcclBackend>(dlsym(library, "baleen_make_nccl_backend"));
    plugin.make_graph = reinterpret_cast<MakeCudaGraph>(dlsym(library, "baleen_make_cuda_graph"));
    if (!count || !version || !plugin.make_nccl || !plugin.make_graph) {
      plugin.status.detail = path.string() + " is not a CUDA plugin of this version of Baleen";
      return plugin;
    }
    const int devices = count();
    plugin.status.nccl_version = version();
    if (devices <= 0) {
      plugin.status.detail = "the CUDA plugin opened, but the driver shows no device";
      return plugin;
    }
    plugin.status = {true, devices, plugin.status.nccl_version, path.string()};
    return plugin;
  }
  return plugin;
}

const Plugin& plugin() {
  static const Plugin opened = open_plugin();
  return opened;
}

}  // namespace

const AcceleratorStatus& accelerator() { return plugin().status; }

std::unique_ptr<RecordedWork> make_cuda_graph() {
  if (!accelerator().available)
    throw Error(ErrorKind::kInternal, "a CUDA graph was asked for, but " + accelerator().detail);
  std::unique_ptr<RecordedWork> graph;
  plugin().make_graph(graph);
  return graph;
}

c10::intrusive_ptr<c10d::Backend> make_nccl_backend(const c10::intrusive_ptr<c10d::Store>& store,
                                                    int rank, int size,
                                                    std::chrono::milliseconds timeout) {
  if (!accelerator().available) {
    throw Error(ErrorKind::kConfiguration, "NCCL was asked for, but " + accelerator().detail,
                "set training.device to cpu, or run `baleen doctor` on the node");
  }
  c10::intrusive_ptr<c10d::Backend> backend;
  plugin().make_nccl(store, rank, size, timeout, backend);
  return backend;
}

}  // namespace baleen
