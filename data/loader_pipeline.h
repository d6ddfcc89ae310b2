#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace baleen {

/// Makes items 0, 1, 2, … on threads and hands them out in order, a bounded number ahead.
///
/// start(), drain() and take() come from one thread. Without threads, take() makes the item itself.
/// An exception of `make` is thrown by the take() of that item, and by each one after it until the
/// next start().
template <class Item>
class OrderedPipeline {
 public:
  /// Called with the index of the item and of the thread (0 without threads); at most once at a
  /// time per thread.
  using Make = std::function<Item(int64_t index, int64_t thread)>;

  /// @param depth items made or being made ahead of take(), at least one per thread
  /// @param begin called once on each thread before all else
  OrderedPipeline(int64_t num_threads, int64_t depth, Make make, std::function<void()> begin = {})
      : make_(std::move(make)),
        begin_(std::move(begin)),
        slots_(static_cast<size_t>(std::max<int64_t>({depth, num_threads, 1}))) {
    try {
      for (int64_t t = 0; t < num_threads; ++t) threads_.emplace_back([this, t] { work(t); });
    } catch (...) {
      stop();
      throw;
    }
  }
  ~OrderedPipeline() { stop(); }
  OrderedPipeline(const OrderedPipeline&) = delete;
  OrderedPipeline& operator=(const OrderedPipeline&) = delete;

  /// Drops what was made ahead and returns once no thread is inside `make`. take() then gives
  /// nothing.
  void drain() {
    std::unique_lock lock(mutex_);
    end_ = next_to_make_;
    item_done_.wait(lock, [this] { return num_being_made_ == 0; });
    for (Slot& slot : slots_) slot = Slot{};
    next_to_take_ = end_;
  }

  /// From here on take() gives items [first, last).
  void start(int64_t first, int64_t last) {
    drain();
    {
      std::lock_guard lock(mutex_);
      next_to_make_ = next_to_take_ = first;
      end_ = last;
    }
    may_make_.notify_all();
  }

  /// The next item, or nothing after the last.
  std::optional<Item> take() {
    if (threads_.empty()) {
      if (next_to_take_ >= end_) return std::nullopt;
      Item item = make_(next_to_take_, 0);
      ++next_to_take_;
      return item;
    }
    std::unique_lock lock(mutex_);
    if (next_to_take_ >= end_) return std::nullopt;
    Slot& slot = slot_of(next_to_take_);
    item_done_.wait(lock, [&slot] { return slot.done(); });
    if (slot.error) std::rethrow_exception(slot.error);
    std::optional<Item> item = std::exchange(slot.item, std::nullopt);
    ++next_to_take_;
    lock.unlock();
    may_make_.notify_one();
    return item;
  }

 private:
  struct Slot {
    std::optional<Item> item;
    std::exception_ptr error;
    bool done() const { return item.has_value() || error; }
  };

  Slot& slot_of(int64_t index) { return slots_[static_cast<size_t>(index) % slots_.size()]; }

  void work(int64_t thread) {
    if (begin_) begin_();
    std::unique_lock lock(mutex_);
    while (true) {
      may_make_.wait(lock, [this] { return stopping_ || may_make(); });
      if (stopping_) return;
      const int64_t index = next_to_make_++;
      ++num_being_made_;
      lock.unlock();
      Slot made;
      try {
        made.item.emplace(make_(index, thread));
      } catch (...) {
        made.error = std::current_exception();
      }
      lock.lock();
      slot_of(index) = std::move(made);
      --num_being_made_;
      item_done_.notify_all();
    }
  }

  bool may_make() const {
    return next_to_make_ < end_ &&
           next_to_make_ < next_to_take_ + static_cast<int64_t>(slots_.size());
  }

  void stop() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    may_make_.notify_all();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

  Make make_;
  std::function<void()> begin_;
  std::mutex mutex_;
  std::condition_variable may_make_;
  std::condition_variable item_done_;
  std::vector<Slot> slots_;  ///< item i waits in slot i modulo their number
  int64_t next_to_make_ = 0;
  int64_t next_to_take_ = 0;
  int64_t end_ = 0;
  int64_t num_being_made_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace baleen
