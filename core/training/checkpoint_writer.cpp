#include "core/training/checkpoint_writer.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "core/base/error.h"
#include "core/base/logging.h"
#include "core/base/stopwatch.h"

namespace baleen {

Checkpoint copy_of(const Checkpoint& checkpoint) {
  Checkpoint copy;
  copy.state = checkpoint.state;
  copy.tensors.reserve(checkpoint.tensors.size());
  for (const auto& [name, tensor] : checkpoint.tensors)
    copy.tensors.emplace_back(name, tensor.detach().to(tensor.options().device(at::kCPU), false,
                                                       /*copy=*/true));
  return copy;
}

CheckpointWriter::CheckpointWriter(CheckpointStore& store, double share)
    : store_(store), share_(share) {}

CheckpointWriter::~CheckpointWriter() {
  try {
    wait();
  } catch (...) {
    log_warning("a checkpoint could not be written: {}", current_error().what());
  }
}

bool CheckpointWriter::due() {
  if (writing_.valid() && writing_.wait_for(std::chrono::seconds(0)) != std::future_status::ready)
    return false;  // its price is not known yet
  wait();
  const double since_s = seconds_since(last_);
  if (!written_) return since_s >= kFirst_s;
  return since_s * share_ >= price_s() && since_s * kBusyDisk >= written_->elapsed_s;
}

double CheckpointWriter::price_s() const {
  if (!written_) return 0;
  const double last_s = blocked_s_ + written_->processor_s;
  return std::min(last_s + copied_s_, kMostStretch * last_s);
}

Checkpoint CheckpointWriter::kept_copy(const Checkpoint& checkpoint) {
  const auto start = Clock::now();
  Checkpoint copy = copy_of(checkpoint);
  copied_s_ += seconds_since(start);
  return copy;
}

void CheckpointWriter::save(const Checkpoint& latest, std::optional<Checkpoint> best,
                            std::optional<Checkpoint> start_of_epoch) {
  const auto start = Clock::now();
  wait();
  auto job = [this, copy = copy_of(latest), kept = std::move(best),
              began = std::move(start_of_epoch)] {
    const Stopwatch clock;
    const double used_before_s = thread_cpu_seconds();
    if (kept) store_.save_best(*kept);
    if (began) store_.save_start(*began);
    store_.save(copy);
    return Written{clock.elapsed_s(), thread_cpu_seconds() - used_before_s};
  };
  writing_ = std::async(std::launch::async, std::move(job));
  last_ = Clock::now();
  blocked_s_ = seconds_since(start);
  copied_s_ = 0;
}

void CheckpointWriter::wait() {
  if (writing_.valid()) written_ = writing_.get();
}

}  // namespace baleen
