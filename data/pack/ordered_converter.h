#pragma once

#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "data/pack/convert.h"

namespace baleen {

/// Converts samples on several threads and gives them out in order, a bounded number of them ahead:
/// memory holds a handful of images per thread, however long the list.
class OrderedConverter {
 public:
  /// @param samples indices into list.samples, in the order in which next() gives them
  /// @param threads 1: next() converts by itself
  OrderedConverter(const PackOptions& options, const SourceList& list, std::vector<size_t> samples,
                   int64_t threads);
  ~OrderedConverter();
  OrderedConverter(const OrderedConverter&) = delete;
  OrderedConverter& operator=(const OrderedConverter&) = delete;

  /// The next sample. Call as many times as there are samples.
  /// @throws what convert_sample() threw for it.
  ConvertedSample next();

 private:
  struct Slot {
    std::optional<ConvertedSample> sample;
    std::exception_ptr failure;
  };

  ConvertedSample convert(size_t position) const;
  void work();

  const PackOptions& options_;
  const SourceList& list_;
  const std::vector<size_t> samples_;
  std::vector<Slot> slots_;  ///< position p in slot p mod size; guarded by mutex_
  std::mutex mutex_;
  std::condition_variable made_;
  std::condition_variable taken_;
  size_t num_begun_ = 0;
  size_t num_taken_ = 0;
  bool stop_ = false;
  std::vector<std::jthread> threads_;
};

}  // namespace baleen
