#include "data/packed_dataset.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <atomic>
#include <unordered_map>

#include "core/base/digest.h"
#include "core/base/error.h"
#include "data/image/jpeg.h"
#include "data/manifest.h"
#include "data/shard.h"

namespace baleen {
namespace {

// One bit per row, set once the row's checksum was found right. Racing threads at worst check a row
// twice.
class CheckedRows {
 public:
  explicit CheckedRows(int64_t rows) : words_(static_cast<size_t>((rows + 63) / 64)) {}
  bool contains(int64_t row) const {
    return (words_[static_cast<size_t>(row / 64)].load(std::memory_order_relaxed) >> (row % 64)) &
           1;
  }
  void insert(int64_t row) {
    words_[static_cast<size_t>(row / 64)].fetch_or(uint64_t{1} << (row % 64),
                                                   std::memory_order_relaxed);
  }

 private:
  std::vector<std::atomic<uint64_t>> words_;
};

}  // namespace

struct PackedDataset::State {
  Manifest manifest;
  std::string digest;
  std::vector<std::unique_ptr<Shard>> shards;
  std::vector<int64_t> first_rows;  ///< per shard, then N
  std::unordered_map<std::string, int64_t> rows_by_id;
  mutable std::vector<CheckedRows> checked;  ///< per payload

  struct Place {
    const Shard& shard;
    int64_t row;  ///< within the shard
  };

  Place place(int64_t row) const {
    if (row < 0 || row >= manifest.rows)
      throw Error(ErrorKind::kInternal,
                  fmt::format("row {} of a dataset of {} rows is asked for", row, manifest.rows));
    const auto after = std::upper_bound(first_rows.begin(), first_rows.end(), row);
    const auto index = static_cast<size_t>(after - first_rows.begin()) - 1;
    return {*shards[index], row - first_rows[index]};
  }

  // Every copy has an original, whose row is none itself.
  void check_copies() const {
    int64_t count = 0;
    for (const auto& shard : shards) {
      for (size_t i = 0; i < shard->copies_of.size(); ++i) {
        const std::string& source = shard->copies_of[i];
        if (source.empty()) continue;
        ++count;
        const auto found = rows_by_id.find(source);
        const bool is_original = found != rows_by_id.end() && [&] {
          const Place original = place(found->second);
          return original.shard.copies_of[static_cast<size_t>(original.row)].empty();
        }();
        if (!is_original)
          throw Error(ErrorKind::kData,
                      fmt::format("{}: row {} ('{}') is a copy of '{}', which is no original",
                                  shard->file(), i, shard->ids[i], source),
                      "pack the data again");
      }
    }
    if (count != manifest.copies)
      throw Error(ErrorKind::kData,
                  fmt::format("the shards hold {} copies where the manifest says "
                              "{}",
                              count, manifest.copies),
                  "pack the data again");
  }

  // The smallest resolution whose shorter side is at least `min_side_px`, else the largest.
  size_t choose(int64_t min_side_px) const {
    size_t chosen = 0;
    for (size_t r = 1; r < manifest.resolutions.size(); ++r)
      if (manifest.resolutions[r].shorter_side() >= min_side_px) chosen = r;
    return chosen;
  }
};

PackedDataset::PackedDataset() : state_(std::make_shared<State>()) {}
PackedDataset::~PackedDataset() = default;

std::shared_ptr<const PackedDataset> PackedDataset::open(const std::filesystem::path& directory) {
  return with_context(
      [&] { return "opening packed dataset " + directory.string(); },
      [&] {
        std::shared_ptr<PackedDataset> dataset(new PackedDataset);
        State& state = *dataset->state_;
        state.manifest = read_manifest(directory);
        state.digest = state.manifest.content_digest();
        int64_t row = 0;
        state.rows_by_id.reserve(static_cast<size_t>(state.manifest.rows));
        for (size_t i = 0; i < state.manifest.shards.size(); ++i) {
          state.shards.push_back(
              std::make_unique<Shard>(directory, state.manifest, i, Shard::Check::kIndex));
          state.first_rows.push_back(row);
          for (const std::string& id : state.shards.back()->ids) {
            if (!state.rows_by_id.emplace(id, row++).second)
              throw Error(ErrorKind::kData,
                          state.shards.back()->file() + ": the id '" + id + "' occurs twice",
                          "pack the data again");
          }
        }
        for (size_t p = 0; p < state.manifest.num_payloads(); ++p) state.checked.emplace_back(row);
        state.check_copies();
        return std::shared_ptr<const PackedDataset>(std::move(dataset));
      });
}

std::shared_ptr<const PackedDataset> PackedDataset::variant(const std::string& name) const {
  std::shared_ptr<PackedDataset> dataset(new PackedDataset(*this));
  dataset->variant_ = 0;
  if (name.empty()) return dataset;
  const std::vector<std::string>& known = variants();
  const auto found = std::find(known.begin(), known.end(), name);
  if (found == known.end())
    throw Error(ErrorKind::kConfiguration, fmt::format("the dataset has no variant '{}'", name),
                known.empty() ? "it has the images as they are only; pack it with a variant, for "
                                "instance dehaze: {store: variant}"
                              : fmt::format("it has: {}", fmt::join(known, ", ")));
  dataset->variant_ = static_cast<size_t>(found - known.begin()) + 1;
  return dataset;
}

const std::vector<std::string>& PackedDataset::variants() const {
  return state_->manifest.variants;
}

int64_t PackedDataset::size() const { return state_->manifest.rows; }
TargetKind PackedDataset::target_kind() const { return state_->manifest.target_kind; }
const std::vector<std::string>& PackedDataset::label_names() const {
  return state_->manifest.label_names;
}
int64_t PackedDataset::channels() const { return state_->manifest.channels; }
const std::string& PackedDataset::digest() const { return state_->digest; }

const std::string& PackedDataset::id(int64_t row) const {
  const State::Place place = state_->place(row);
  return place.shard.ids[static_cast<size_t>(place.row)];
}

int64_t PackedDataset::row_of(const std::string& id) const {
  const auto found = state_->rows_by_id.find(id);
  return found == state_->rows_by_id.end() ? -1 : found->second;
}

int64_t PackedDataset::class_index(int64_t row) const {
  if (target_kind() != TargetKind::kSingleClass)
    throw Error(ErrorKind::kInternal, "class_index of a dataset without classes");
  const State::Place place = state_->place(row);
  return place.shard.classes[static_cast<size_t>(place.row)];
}

std::span<const uint8_t> PackedDataset::labels(int64_t row) const {
  if (target_kind() != TargetKind::kMultiLabel)
    throw Error(ErrorKind::kInternal, "labels of a dataset that is not multi-label");
  const State::Place place = state_->place(row);
  const size_t count = label_names().size();
  return std::span(place.shard.labels).subspan(static_cast<size_t>(place.row) * count, count);
}

const std::string& PackedDataset::group(int64_t row) const {
  const State::Place place = state_->place(row);
  return place.shard.groups[static_cast<size_t>(place.row)];
}

const std::string& PackedDataset::copy_of(int64_t row) const {
  const State::Place place = state_->place(row);
  return place.shard.copies_of[static_cast<size_t>(place.row)];
}

std::vector<int64_t> PackedDataset::originals() const {
  std::vector<int64_t> rows;
  rows.reserve(static_cast<size_t>(size()));
  for (int64_t row = 0; row < size(); ++row)
    if (copy_of(row).empty()) rows.push_back(row);
  return rows;
}

std::pair<int64_t, int64_t> PackedDataset::original_size(int64_t row) const {
  const State::Place place = state_->place(row);
  const auto first = static_cast<size_t>(2 * place.row);
  return {place.shard.original_sizes[first], place.shard.original_sizes[first + 1]};
}

ImageView PackedDataset::image(int64_t row, int64_t min_side_px,
                               std::vector<uint8_t>& scratch) const {
  const State& state = *state_;
  const State::Place place = state.place(row);
  const auto describe = [&] {
    return fmt::format("reading row {} ('{}') of {}", place.row, id(row), place.shard.file());
  };
  const size_t resolution = state.choose(min_side_px);
  const size_t payload = variant_ * state.manifest.resolutions.size() + resolution;
  const std::span<const uint8_t> bytes = place.shard.payload(payload, place.row);
  CheckedRows& checked = state.checked[payload];
  if (!checked.contains(row)) {
    if (crc32c(bytes.data(), bytes.size()) != place.shard.checksum(payload, place.row))
      throw Error(ErrorKind::kData,
                  fmt::format("{}: row {} ('{}') does not match its checksum", place.shard.file(),
                              place.row, id(row)),
                  "the file is damaged: restore it or pack the data again; baleen verify lists "
                  "every damaged row");
    checked.insert(row);
  }
  const Resolution& size = state.manifest.resolutions[resolution];
  if (state.manifest.encoding == Encoding::kRaw)
    return {bytes.data(), size.height, size.width, state.manifest.channels};
  return with_context(describe, [&] {
    const ImageView view =
        decode_jpeg(bytes, state.manifest.channels, std::max<int64_t>(min_side_px, 1), scratch);
    for (const int64_t scale : {1, 2, 4, 8})  // scaled decoding rounds sides up
      if (view.height == (size.height + scale - 1) / scale &&
          view.width == (size.width + scale - 1) / scale)
        return view;
    throw Error(ErrorKind::kData, fmt::format("the stored JPEG decodes to {} x {} px, not {} x {}",
                                              view.height, view.width, size.height, size.width));
  });
}

}  // namespace baleen
