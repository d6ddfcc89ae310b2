#include "experiments/gallery/key_points.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "core/base/digest.h"
#include "core/base/error.h"
#include "core/base/logging.h"
#include "core/weights/safetensors.h"
#include "data/parallel_for.h"
#include "experiments/collective.h"

namespace baleen {
namespace {

/// Images whose key points are exchanged at a time, per rank: a message stays below 2 GiB.
constexpr int64_t kImagesPerExchange = 256;

template <class T>
void append(std::string& bytes, const T* values, size_t count) {
  bytes.append(reinterpret_cast<const char*>(values), count * sizeof(T));
}

template <class T>
void take(const char*& from, T* values, size_t count) {
  std::memcpy(values, from, count * sizeof(T));
  from += count * sizeof(T);
}

void append(std::string& bytes, const LocalFeatures& features) {
  const int64_t shape[2] = {features.size(), features.descriptors_N128.size(1)};
  append(bytes, shape, 2);
  append(bytes, features.points_N2.const_data_ptr<float>(),
         static_cast<size_t>(features.points_N2.numel()));
  append(bytes, features.descriptors_N128.const_data_ptr<uint8_t>(),
         static_cast<size_t>(features.descriptors_N128.numel()));
}

LocalFeatures take_features(const char*& from) {
  int64_t shape[2] = {};
  take(from, shape, 2);
  LocalFeatures features{at::empty({shape[0], 2}, at::kFloat),
                         at::empty({shape[0], shape[1]}, at::kByte)};
  take(from, features.points_N2.mutable_data_ptr<float>(),
       static_cast<size_t>(features.points_N2.numel()));
  take(from, features.descriptors_N128.mutable_data_ptr<uint8_t>(),
       static_cast<size_t>(features.descriptors_N128.numel()));
  return features;
}

std::optional<Image> mask_of(const KeyPointSource& source, const std::string& id) {
  if (source.masks.empty()) return std::nullopt;
  const std::filesystem::path file = source.masks / (id + ".png");
  if (!std::filesystem::exists(file)) {
    throw Error(
        ErrorKind::kData, fmt::format("image '{}' has no mask {}", id, file.string()),
        "give a folder with a grey PNG per image, as the masks-oof and masks-test of a run");
  }
  return read_image(file, 1);
}

/// The file that keeps an image's key points; empty without a cache.
std::filesystem::path kept_in(const KeyPointOptions& options, const ImageView& image,
                              const std::optional<Image>& mask) {
  if (options.cache.empty()) return {};
  Digest digest;
  const auto add = [&](const ImageView& view) {
    digest.update(fmt::format("{} {} {}:", view.height, view.width, view.channels));
    digest.update(view.pixels, static_cast<size_t>(view.height * view.width * view.channels));
  };
  digest.update(
      fmt::format("key points 1: {} of {} px;", options.features.most, options.features.size_px));
  add(image);
  if (mask) add(mask->view());
  return options.cache / (digest.hex() + ".safetensors");
}

std::optional<LocalFeatures> read_kept(const std::filesystem::path& file) {
  if (file.empty() || !std::filesystem::exists(file)) return std::nullopt;
  try {
    const SafetensorsFile tensors(file);
    LocalFeatures features{tensors.tensor("points").clone(), tensors.tensor("descriptors").clone()};
    const at::Tensor &points = features.points_N2, &descriptors = features.descriptors_N128;
    if (points.dim() == 2 && points.size(1) == 2 && points.scalar_type() == at::kFloat &&
        descriptors.dim() == 2 && descriptors.scalar_type() == at::kByte &&
        descriptors.size(0) == points.size(0)) {
      return features;
    }
    log_warning("{} holds no key points: they are found anew", file.string());
  } catch (const Error& error) {
    log_warning("{}: key points are found anew", error.what());
  }
  return std::nullopt;
}

LocalFeatures key_points_of(const KeyPointSource& source, const std::string& id,
                            const KeyPointOptions& options) {
  const int64_t row = source.images->row_of(id);
  if (row < 0) {
    throw Error(ErrorKind::kData,
                fmt::format("there is no image of '{}' to find key points in", id),
                "the packed images must have the ids of the features");
  }
  const auto [height, width] = source.images->stored_size();
  std::vector<uint8_t> scratch;
  const ImageView image = source.images->image(row, std::min(height, width), scratch);
  const std::optional<Image> mask = mask_of(source, id);
  const std::filesystem::path file = kept_in(options, image, mask);
  if (auto kept = read_kept(file)) return *kept;
  const ImageView mask_view = mask ? mask->view() : ImageView{};
  LocalFeatures features =
      find_local_features(image, mask ? &mask_view : nullptr, options.features);
  if (!file.empty()) {
    write_safetensors(file,
                      {{"points", features.points_N2}, {"descriptors", features.descriptors_N128}});
  }
  return features;
}

}  // namespace

std::vector<LocalFeatures> find_key_points(const KeyPointSource& source,
                                           std::span<const std::string> ids,
                                           const KeyPointOptions& options, Communicator& group) {
  if (!options.cache.empty())
    on_first_rank(group, [&] { std::filesystem::create_directories(options.cache); });
  std::vector<LocalFeatures> all(ids.size());
  const int64_t ranks = group.size(), step = kImagesPerExchange * ranks;
  for (int64_t first = 0; first < std::ssize(ids); first += step) {
    const int64_t last = std::min(first + step, std::ssize(ids));
    const std::string own = agreed(group, [&] {
      std::vector<int64_t> mine;
      for (int64_t i = first + group.rank(); i < last; i += ranks) mine.push_back(i);
      parallel_for(mine.size(), options.threads, [&](size_t m) {
        if (options.stop && options.stop()) throw_interrupted();
        all[mine[m]] = key_points_of(source, ids[mine[m]], options);
      });
      std::string bytes;
      for (const int64_t i : mine) append(bytes, all[i]);
      return bytes;
    });
    const std::vector<std::string> parts = group.all_gather(own);
    for (int64_t rank = 0; rank < ranks; ++rank) {
      const char* from = parts[rank].data();
      for (int64_t i = first + rank; i < last; i += ranks) all[i] = take_features(from);
    }
  }
  return all;
}

KeyPointCounter::KeyPointCounter(std::vector<LocalFeatures> features,
                                 const LocalMatchOptions& options, int64_t threads,
                                 Communicator& group)
    : features_(std::move(features)), options_(options), threads_(threads), group_(group) {}

std::vector<int64_t> KeyPointCounter::count_together(const std::string& pairs) {
  std::vector<KeyPointPair> all(pairs.size() / sizeof(KeyPointPair));
  std::memcpy(all.data(), pairs.data(), pairs.size());
  const auto ranks = static_cast<size_t>(group_.size()), own = static_cast<size_t>(group_.rank());
  const std::vector<int64_t> mine = agreed(group_, [&] {
    std::vector<int64_t> counts(all.size() / ranks + (own < all.size() % ranks ? 1 : 0));
    parallel_for(counts.size(), threads_, [&](size_t m) {
      const KeyPointPair& pair = all[own + m * ranks];
      counts[m] = count_inliers(features_.at(static_cast<size_t>(pair.first)),
                                features_.at(static_cast<size_t>(pair.second)), options_);
    });
    return counts;
  });
  std::string bytes;
  append(bytes, mine.data(), mine.size());
  const std::vector<std::string> parts = group_.gather(bytes, 0);
  std::vector<int64_t> counts(parts.empty() ? 0 : all.size());
  for (size_t rank = 0; rank < parts.size(); ++rank) {
    const char* from = parts[rank].data();
    for (size_t i = rank; i < counts.size(); i += ranks) take(from, &counts[i], 1);
  }
  return counts;
}

std::vector<int64_t> KeyPointCounter::count(const std::vector<KeyPointPair>& pairs) {
  if (pairs.empty()) return {};
  std::string bytes;
  append(bytes, pairs.data(), pairs.size());
  try {
    return count_together(group_.broadcast(bytes, 0));
  } catch (...) {
    serving_ = false;
    throw;
  }
}

void KeyPointCounter::serve() {
  while (true) {
    const std::string pairs = group_.broadcast({}, 0);
    if (pairs.empty()) return;
    count_together(pairs);
  }
}

void KeyPointCounter::finish() noexcept {
  if (!serving_) return;
  serving_ = false;
  try {
    group_.broadcast({}, 0);
  } catch (...) {
    log_warning("the other ranks were not told that counting is over");
  }
}

}  // namespace baleen
