#pragma once

#include <c10/core/DeviceType.h>

#include <string>

namespace baleen {

/// Arithmetic of forward and backward passes; weights and optimizer state stay float32.
enum class Precision {
  kFloat32,
  kBFloat16,  ///< autocast on CPU and CUDA
  kFloat16,   ///< autocast with loss scaling, CUDA only
};

/// "fp32", "bf16", "fp16". @throws Error kConfiguration for anything else.
Precision precision_from_name(const std::string& name);
const char* name_of(Precision precision);

/// While alive, operations that gain from it run in the lower precision. One scope per shard: the
/// cache of cast weights is dropped at its end, since the optimizer changes them.
class AutocastScope {
 public:
  AutocastScope(c10::DeviceType device, Precision precision);
  ~AutocastScope();
  AutocastScope(const AutocastScope&) = delete;
  AutocastScope& operator=(const AutocastScope&) = delete;

 private:
  c10::DeviceType device_;
  bool active_;
};

}  // namespace baleen
