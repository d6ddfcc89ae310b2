#include "core/training/checkpoint_writer.h"

#include <ATen/ATen.h>

#include <utility>

#include "core/base/error.h"
#include "core/base/logging.h"

namespace baleen {
namespace {

double seconds_between(std::chrono::steady_clock::time_point start,
                       std::chrono::steady_clock::time_point end) {
  return std::chrono::duration<double>(end - start).count();
}

}  // namespace

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
  const double since_s = seconds_between(last_, Clock::now());
  return written_s_ ? since_s * share_ >= blocked_s_ + *written_s_ : since_s >= kFirst_s;
}

void CheckpointWriter::save(const Checkpoint& latest, std::optional<Checkpoint> best,
                            std::optional<Checkpoint> start_of_epoch) {
  const auto start = Clock::now();
  wait();
  auto job = [this, copy = copy_of(latest), kept = std::move(best),
              began = std::move(start_of_epoch)] {
    const auto begin = Clock::now();
    if (kept) store_.save_best(*kept);
    if (began) store_.save_start(*began);
    store_.save(copy);
    return seconds_between(begin, Clock::now());
  };
  writing_ = std::async(std::launch::async, std::move(job));
  last_ = Clock::now();
  blocked_s_ = seconds_between(start, last_);
}

void CheckpointWriter::wait() {
  if (writing_.valid()) written_s_ = writing_.get();
}

}  // namespace baleen
