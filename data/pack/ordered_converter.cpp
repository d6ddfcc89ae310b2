#include "data/pack/ordered_converter.h"

#include <algorithm>
#include <utility>

namespace baleen {

OrderedConverter::OrderedConverter(const PackOptions& options, const SourceList& list,
                                   std::vector<size_t> samples, int64_t threads)
    : options_(options), list_(list), samples_(std::move(samples)) {
  threads = std::min(threads, std::ssize(samples_));
  if (threads <= 1) return;
  // Enough that no thread waits while a shard is being completed; photographs are large, IDX images
  // are not.
  slots_.resize(static_cast<size_t>(threads) * (list.idx ? 512 : 8));
  for (int64_t t = 0; t < threads; ++t) threads_.emplace_back([this] { work(); });
}

OrderedConverter::~OrderedConverter() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  taken_.notify_all();
}

ConvertedSample OrderedConverter::convert(size_t position) const {
  return convert_sample(options_, list_, list_.samples[samples_[position]]);
}

void OrderedConverter::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    taken_.wait(lock, [&] {
      return stop_ || num_begun_ == samples_.size() || num_begun_ < num_taken_ + slots_.size();
    });
    if (stop_ || num_begun_ == samples_.size()) return;
    const size_t position = num_begun_++;
    lock.unlock();
    Slot made;
    try {
      made.sample = convert(position);
    } catch (...) {
      made.failure = std::current_exception();
    }
    lock.lock();
    slots_[position % slots_.size()] = std::move(made);
    if (position == num_taken_) made_.notify_one();
  }
}

ConvertedSample OrderedConverter::next() {
  if (threads_.empty()) return convert(num_taken_++);
  std::unique_lock lock(mutex_);
  Slot& slot = slots_[num_taken_ % slots_.size()];
  made_.wait(lock, [&] { return slot.sample || slot.failure; });
  Slot taken = std::exchange(slot, {});
  ++num_taken_;
  lock.unlock();
  taken_.notify_one();
  if (taken.failure) std::rethrow_exception(taken.failure);
  return std::move(*taken.sample);
}

}  // namespace baleen
