#include "core/training/random_streams.h"

#include <ATen/Context.h>

namespace baleen {
namespace {

void seed_generator(const at::Generator& generator, uint64_t seed) {
  at::Generator handle = generator;
  std::lock_guard lock(handle.mutex());
  handle.set_current_seed(seed);
}

}  // namespace

void seed_default_generator(c10::Device device, uint64_t seed) {
  seed_generator(at::globalContext().defaultGenerator(at::kCPU), seed);
  if (!device.is_cpu()) seed_generator(at::globalContext().defaultGenerator(device), seed);
}

}  // namespace baleen
