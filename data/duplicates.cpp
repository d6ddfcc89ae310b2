#include "data/duplicates.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>
#include <numeric>
#include <tuple>
#include <unordered_map>

#include "data/parallel_for.h"

namespace baleen {
namespace {

constexpr double kFlatDeviation = 1;  // levels

struct Moments {
  double mean = 0;
  double deviation = 0;
};

Moments moments_of(const Image& grey) {
  double sum = 0;
  double squares = 0;
  for (const uint8_t value : grey.pixels) {
    sum += value;
    squares += static_cast<double>(value) * value;
  }
  const auto n = static_cast<double>(grey.pixels.size());
  const double mean = sum / n;
  return {mean, std::sqrt(std::max(0.0, squares / n - mean * mean))};
}

// Which images have each hash.
struct HashIndex {
  explicit HashIndex(const ImageCollection& images) {
    std::map<uint64_t, std::vector<size_t>> sorted;
    for (size_t i = 0; i < images.signatures.size(); ++i)
      if (images.signatures[i]) sorted[images.signatures[i]->hash].push_back(i);
    for (auto& [hash, indices] : sorted) {
      hashes.push_back(hash);
      members.push_back(std::move(indices));
    }
  }
  std::vector<uint64_t> hashes;
  std::vector<std::vector<size_t>> members;
};

// Compares pairs of images; keeps the last first image, as pairs come in runs. One per task.
class Comparison {
 public:
  Comparison(const ImageCollection& a, const ImageCollection& b, const DuplicateOptions& options)
      : a_(a), b_(b), options_(options) {}

  // The error, if the two show the same picture.
  std::optional<double> same(size_t i, size_t j) {
    const ImageSignature& first = *a_.signatures[i];
    const ImageSignature& second = *b_.signatures[j];
    const bool one_size = first.height == second.height && first.width == second.width;
    if (first.hash != second.hash && !one_size) return std::nullopt;
    if (first.deviation < kFlatDeviation || second.deviation < kFlatDeviation) {
      const bool alike = first.deviation < kFlatDeviation && second.deviation < kFlatDeviation &&
                         one_size && std::abs(first.mean - second.mean) < 0.5;
      return alike ? std::optional(0.0) : std::nullopt;
    }
    if (!last_ || *last_ != i) image_ = a_.read(i);
    last_ = i;
    const double error = picture_error(image_.view(), b_.read(j).view());
    return error <= options_.max_error ? std::optional(error) : std::nullopt;
  }

 private:
  const ImageCollection& a_;
  const ImageCollection& b_;
  const DuplicateOptions& options_;
  std::optional<size_t> last_;
  Image image_;
};

uint64_t band_of(uint64_t hash, int64_t band, int64_t num_bands) {
  const int64_t first = 64 * band / num_bands;
  const int64_t width = 64 * (band + 1) / num_bands - first;
  return width == 64 ? hash : (hash >> first) & ((uint64_t{1} << width) - 1);
}

}  // namespace

ImageSignature signature_of(const ImageView& image, PerceptualHash kind, int64_t height_px,
                            int64_t width_px) {
  const Moments moments = moments_of(to_grey(image));
  return {perceptual_hash(image, kind), height_px, width_px, moments.mean, moments.deviation};
}

double picture_error(const ImageView& a, const ImageView& b) {
  Image grey_a = to_grey(a);
  Image grey_b = to_grey(b);
  if (grey_a.height != grey_b.height || grey_a.width != grey_b.width) {
    const int64_t height = std::min(grey_a.height, grey_b.height);
    const int64_t width = std::min(grey_a.width, grey_b.width);
    grey_a = resize_image(grey_a.view(), height, width);
    grey_b = resize_image(grey_b.view(), height, width);
  }
  const Moments of_a = moments_of(grey_a);
  const Moments of_b = moments_of(grey_b);
  const auto scale = [](const Moments& m) { return m.deviation > 0 ? 1 / m.deviation : 0; };
  double sum = 0;
  for (size_t i = 0; i < grey_a.pixels.size(); ++i) {
    const double difference =
        (grey_a.pixels[i] - of_a.mean) * scale(of_a) - (grey_b.pixels[i] - of_b.mean) * scale(of_b);
    sum += difference * difference;
  }
  return sum / static_cast<double>(grey_a.pixels.size());
}

std::vector<std::pair<size_t, size_t>> near_hashes(std::span<const uint64_t> a,
                                                   const std::vector<uint64_t>* b,
                                                   int64_t max_distance) {
  const std::span<const uint64_t> others = b ? std::span<const uint64_t>(*b) : a;
  const int64_t num_bands = max_distance + 1;
  std::vector<std::pair<size_t, size_t>> pairs;
  for (int64_t band = 0; band < num_bands; ++band) {
    std::unordered_map<uint64_t, std::vector<size_t>> buckets;
    for (size_t j = 0; j < others.size(); ++j)
      buckets[band_of(others[j], band, num_bands)].push_back(j);
    for (size_t i = 0; i < a.size(); ++i) {
      const auto bucket = buckets.find(band_of(a[i], band, num_bands));
      if (bucket == buckets.end()) continue;
      for (const size_t j : bucket->second) {
        if (!b && j <= i) continue;
        if (hash_distance(a[i], others[j]) > max_distance) continue;
        // Counted in its first equal band only.
        bool seen = false;
        for (int64_t before = 0; before < band && !seen; ++before)
          seen = band_of(a[i], before, num_bands) == band_of(others[j], before, num_bands);
        if (!seen) pairs.emplace_back(i, j);
      }
    }
  }
  std::sort(pairs.begin(), pairs.end());
  return pairs;
}

std::vector<std::vector<size_t>> duplicate_groups(const ImageCollection& images,
                                                  const DuplicateOptions& options,
                                                  int64_t num_threads) {
  const HashIndex index(images);
  std::vector<std::pair<size_t, size_t>> tasks =
      near_hashes(index.hashes, nullptr, options.max_distance);
  for (size_t h = 0; h < index.members.size(); ++h)
    if (index.members[h].size() > 1) tasks.emplace_back(h, h);
  UnionFind sets(images.signatures.size());
  std::mutex mutex;
  parallel_for(tasks.size(), num_threads, [&](size_t t) {
    const auto& [first, second] = tasks[t];
    Comparison comparison(images, images, options);
    for (const size_t i : index.members[first]) {
      for (const size_t j : index.members[second]) {
        if (first == second && j <= i) continue;
        {
          // A link between images that hang together already would change nothing.
          const std::lock_guard lock(mutex);
          if (sets.find(i) == sets.find(j)) continue;
        }
        if (!comparison.same(i, j)) continue;
        const std::lock_guard lock(mutex);
        sets.unite(i, j);
      }
    }
  });
  return sets.groups();
}

std::vector<DuplicatePair> duplicates_between(const ImageCollection& a, const ImageCollection& b,
                                              const DuplicateOptions& options,
                                              int64_t num_threads) {
  const HashIndex of_a(a);
  const HashIndex of_b(b);
  const auto tasks = near_hashes(of_a.hashes, &of_b.hashes, options.max_distance);
  std::vector<std::vector<DuplicatePair>> found(tasks.size());
  parallel_for(tasks.size(), num_threads, [&](size_t t) {
    const auto& [first, second] = tasks[t];
    Comparison comparison(a, b, options);
    for (const size_t i : of_a.members[first])
      for (const size_t j : of_b.members[second])
        if (const std::optional<double> error = comparison.same(i, j))
          found[t].push_back(
              {i, j, hash_distance(of_a.hashes[first], of_b.hashes[second]), *error});
  });
  std::vector<DuplicatePair> pairs;
  for (const auto& of_task : found) pairs.insert(pairs.end(), of_task.begin(), of_task.end());
  std::sort(pairs.begin(), pairs.end(), [](const DuplicatePair& x, const DuplicatePair& y) {
    return std::tie(x.first, x.second) < std::tie(y.first, y.second);
  });
  return pairs;
}

UnionFind::UnionFind(size_t count) : parents_(count) {
  std::iota(parents_.begin(), parents_.end(), size_t{0});
}

size_t UnionFind::find(size_t i) {
  while (parents_[i] != i) i = parents_[i] = parents_[parents_[i]];
  return i;
}

void UnionFind::unite(size_t a, size_t b) {
  a = find(a);
  b = find(b);
  parents_[std::max(a, b)] = std::min(a, b);
}

std::vector<std::vector<size_t>> UnionFind::groups() {
  std::map<size_t, std::vector<size_t>> all;
  for (size_t i = 0; i < parents_.size(); ++i) all[find(i)].push_back(i);
  std::vector<std::vector<size_t>> groups;
  for (auto& [smallest, members] : all)
    if (members.size() > 1) groups.push_back(std::move(members));
  return groups;
}

}  // namespace baleen
