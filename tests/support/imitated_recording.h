#pragma once

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <torch/nn/module.h>

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "core/training/recorded_work.h"

namespace baleen::testing {

/// What imitated recordings do, and did.
struct RecordingScript {
  torch::nn::Module* network = nullptr;  ///< whose buffers recording must not move; may be null
  std::string failure;                   ///< what record() throws; empty: nothing
  int num_recorded = 0;                  ///< attempts
};

/// A CUDA graph as far as the host can tell, on the CPU: recording leaves buffers and random
/// numbers as they were, playing back runs the work again on the memory it was recorded with.
class ImitatedRecording final : public RecordedWork {
 public:
  explicit ImitatedRecording(RecordingScript& script) : script_(script) {}

  void record(const std::function<void()>& work) override {
    ++script_.num_recorded;
    std::vector<at::Tensor> before;
    if (script_.network) {
      for (const at::Tensor& buffer : script_.network->buffers()) before.push_back(buffer.clone());
    }
    at::Generator generator = at::globalContext().defaultGenerator(at::kCPU);
    const at::Tensor random = generator.get_state();
    work();
    generator.set_state(random);
    const at::NoGradGuard no_grad;
    for (size_t i = 0; i < before.size(); ++i) script_.network->buffers()[i].copy_(before[i]);
    if (!script_.failure.empty()) throw std::runtime_error(script_.failure);
    work_ = work;
  }
  void play() override { work_(); }

 private:
  RecordingScript& script_;
  std::function<void()> work_;
};

/// @param script outlives the recordings
inline RecordedWorkFactory imitate_recordings(RecordingScript& script) {
  return [&script] { return std::make_unique<ImitatedRecording>(script); };
}

}  // namespace baleen::testing
