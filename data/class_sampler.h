#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace baleen {

/// Deals batches that hold several samples of each of their classes. A pure function of its
/// arguments and (seed, epoch): neither ranks nor threads enter.
class ClassSampler {
 public:
  struct Options {
    int64_t per_class = 4;  ///< m
    uint64_t seed = 0;
    int64_t stream = 0;  ///< tells samplers of one seed apart, e.g. one per cluster
    /// The first so many samples of a class in a batch come once in it, so that the others can be
    /// told by them; classes without one more are left out. 0: any may repeat.
    int64_t supports = 0;
  };

  /// @param rows    samples, in a fixed order
  /// @param classes class of each; classes with fewer than two samples, or than supports + 1, are
  /// left out
  ClassSampler(std::span<const int64_t> rows, std::span<const int64_t> classes,
               const Options& options);

  int64_t num_classes() const { return static_cast<int64_t>(members_.size()); }
  int64_t num_rows() const;  ///< of these classes

  /// `count` batches of `size` samples, one after the other. Each has size / m classes, drawn
  /// without replacement while there are enough, and m samples of each side by side. A class deals
  /// its samples in shuffled order, and shuffles anew when they run out: one with fewer than m
  /// repeats them.
  /// @throws Error kConfiguration when size is no multiple of m; kData when there is no class.
  std::vector<int64_t> batches(int64_t epoch, int64_t count, int64_t size) const;

 private:
  Options options_;
  std::vector<std::vector<int64_t>> members_;  ///< rows of each class
};

}  // namespace baleen
