#include "data/packed_dataset.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <optional>

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

/// Rows by id: for each row 32 bits of its id's hash and its number, sorted.
class IdTable {
 public:
  void reserve(int64_t rows) { entries_.reserve(static_cast<size_t>(rows)); }
  void add(std::string_view id, int64_t row) {
    entries_.push_back(prefix_of(id) | static_cast<uint64_t>(row));
  }
  /// Sorts. @returns a pair of rows with the same id, or nothing.
  template <class IdOf>
  std::optional<std::pair<int64_t, int64_t>> finish(IdOf&& id_of) {
    std::sort(entries_.begin(), entries_.end());
    for (size_t i = 0; i < entries_.size(); ++i)
      for (size_t j = i + 1; j < entries_.size() && (entries_[i] ^ entries_[j]) <= kRowMask; ++j)
        if (id_of(row_of(entries_[i])) == id_of(row_of(entries_[j])))
          return std::pair(row_of(entries_[i]), row_of(entries_[j]));
    return std::nullopt;
  }
  /// -1 when there is none.
  template <class IdOf>
  int64_t find(std::string_view id, IdOf&& id_of) const {
    const uint64_t prefix = prefix_of(id);
    for (auto at = std::lower_bound(entries_.begin(), entries_.end(), prefix);
         at != entries_.end() && (*at ^ prefix) <= kRowMask; ++at)
      if (id_of(row_of(*at)) == id) return row_of(*at);
    return -1;
  }
  static constexpr uint64_t kRowMask = 0xFFFFFFFF;

 private:
  static uint64_t prefix_of(std::string_view id) {
    return std::hash<std::string_view>()(id) & ~kRowMask;
  }
  static int64_t row_of(uint64_t entry) { return static_cast<int64_t>(entry & kRowMask); }
  std::vector<uint64_t> entries_;
};

}  // namespace

struct PackedDataset::State {
  Manifest manifest;
  std::string digest;
  std::vector<std::unique_ptr<Shard>> shards;
  std::vector<int64_t> first_rows;  ///< per shard, then N
  IdTable rows_by_id;
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
  std::string_view id(int64_t row) const {
    const Place at = place(row);
    return at.shard.ids[static_cast<size_t>(at.row)];
  }
  size_t choose(const ImageRequest& request) const;
  std::span<const uint8_t> payload(int64_t row, size_t payload) const;
  std::string describe(int64_t row) const;

  size_t payload_of(size_t variant, size_t resolution) const {
    return variant * manifest.resolutions.size() + resolution;
  }

  std::string_view copy_of(int64_t row) const {
    const Place at = place(row);
    return at.shard.copy_of(static_cast<size_t>(at.row));
  }

  // Every copy has an original, whose row is none itself.
  void check_copies() const {
    int64_t count = 0;
    for (const auto& shard : shards) {
      for (size_t i = 0; i < shard->ids.size(); ++i) {
        const std::string_view source = shard->copy_of(i);
        if (source.empty()) continue;
        ++count;
        const int64_t original = rows_by_id.find(source, [&](int64_t row) { return id(row); });
        if (original < 0 || !copy_of(original).empty())
          throw Error(ErrorKind::kData,
                      fmt::format("{}: row {} ('{}') is a copy of '{}', which is no original",
                                  shard->file(), i, shard->ids[i], source),
                      "pack the data again");
      }
    }
    if (count != manifest.copies)
      throw Error(ErrorKind::kData,
                  fmt::format("the shards hold {} copies where the manifest says {}", count,
                              manifest.copies),
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
        if (state.manifest.rows > static_cast<int64_t>(IdTable::kRowMask))
          throw Error(ErrorKind::kData,
                      fmt::format("{} rows are more than 2^32", state.manifest.rows));
        for (size_t i = 0; i < state.manifest.shards.size(); ++i) {
          state.shards.push_back(
              std::make_unique<Shard>(directory, state.manifest, i, Shard::Check::kIndex));
          state.first_rows.push_back(row);
          row += state.shards.back()->rows();
        }
        // Only now is it sure that there are as many rows as the manifest claims.
        state.rows_by_id.reserve(row);
        int64_t next = 0;
        for (const auto& shard : state.shards)
          for (size_t i = 0; i < shard->ids.size(); ++i)
            state.rows_by_id.add(shard->ids[i], next++);
        if (const auto twice = state.rows_by_id.finish([&](int64_t r) { return state.id(r); }))
          throw Error(ErrorKind::kData,
                      fmt::format("{}: the id '{}' occurs twice",
                                  state.place(twice->second).shard.file(), state.id(twice->first)),
                      "pack the data again");
        state.check_copies();
        for (size_t p = 0; p < state.manifest.num_payloads(); ++p) state.checked.emplace_back(row);
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
const std::string& PackedDataset::pack_options() const { return state_->manifest.options; }

std::string PackedDataset::id(int64_t row) const { return std::string(state_->id(row)); }

int64_t PackedDataset::row_of(const std::string& id) const {
  return state_->rows_by_id.find(id, [&](int64_t row) { return state_->id(row); });
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
  return place.shard.labels.subspan(static_cast<size_t>(place.row) * count, count);
}

std::string PackedDataset::group(int64_t row) const {
  const State::Place place = state_->place(row);
  return std::string(place.shard.groups[static_cast<size_t>(place.row)]);
}

// The stored bytes of a row, whose checksum is checked the first time.
std::span<const uint8_t> PackedDataset::State::payload(int64_t row, size_t payload) const {
  const Place at = place(row);
  const std::span<const uint8_t> bytes = at.shard.payload(payload, at.row);
  CheckedRows& rows = checked[payload];
  if (rows.contains(row)) return bytes;
  at.shard.will_need(bytes);
  if (crc32c(bytes.data(), bytes.size()) != at.shard.checksum(payload, at.row))
    throw Error(ErrorKind::kData,
                fmt::format("{}: row {} ('{}') does not match its checksum", at.shard.file(),
                            at.row, at.shard.ids[static_cast<size_t>(at.row)]),
                "the file is damaged: restore it or pack the data again; baleen verify lists every "
                "damaged row");
  rows.insert(row);
  return bytes;
}

// The smallest resolution at which the box has the pixels asked for, else the largest.
size_t PackedDataset::State::choose(const ImageRequest& request) const {
  const Resolution& full = manifest.resolutions[0];
  size_t chosen = 0;
  for (size_t r = 1; r < manifest.resolutions.size(); ++r) {
    const Resolution& smaller = manifest.resolutions[r];
    if (request.box.height * smaller.height >= request.least_height * full.height &&
        request.box.width * smaller.width >= request.least_width * full.width)
      chosen = r;
  }
  return chosen;
}

std::string PackedDataset::State::describe(int64_t row) const {
  const Place at = place(row);
  return fmt::format("reading row {} ('{}') of {}", at.row,
                     at.shard.ids[static_cast<size_t>(at.row)], at.shard.file());
}

std::pair<int64_t, int64_t> PackedDataset::stored_size() const {
  const Resolution& size = state_->manifest.resolutions[0];
  return {size.height, size.width};
}

std::pair<int64_t, int64_t> PackedDataset::original_size(int64_t row) const {
  const State::Place place = state_->place(row);
  const auto i = static_cast<size_t>(2 * place.row);
  return {place.shard.original_sizes[i], place.shard.original_sizes[i + 1]};
}

std::string PackedDataset::copy_of(int64_t row) const { return std::string(state_->copy_of(row)); }

std::vector<int64_t> PackedDataset::originals() const {
  std::vector<int64_t> rows;
  rows.reserve(static_cast<size_t>(size()));
  for (int64_t row = 0; row < size(); ++row)
    if (state_->copy_of(row).empty()) rows.push_back(row);
  return rows;
}

ImageView PackedDataset::image(int64_t row, int64_t min_side_px,
                               std::vector<uint8_t>& scratch) const {
  const State& state = *state_;
  const size_t resolution = state.choose(min_side_px);
  const std::span<const uint8_t> bytes = state.payload(row, state.payload_of(variant_, resolution));
  const Resolution& size = state.manifest.resolutions[resolution];
  if (state.manifest.encoding == Encoding::kRaw)
    return {bytes.data(), size.height, size.width, state.manifest.channels};
  return with_context(
      [&] { return state.describe(row); },
      [&] {
        const ImageView view =
            decode_jpeg(bytes, state.manifest.channels, std::max<int64_t>(min_side_px, 1), scratch);
        for (const int64_t scale : {1, 2, 4, 8})  // scaled decoding rounds sides up
          if (view.height == (size.height + scale - 1) / scale &&
              view.width == (size.width + scale - 1) / scale)
            return view;
        throw Error(ErrorKind::kData,
                    fmt::format("the stored JPEG decodes to {} x {} px, not {} x {}", view.height,
                                view.width, size.height, size.width));
      });
}

ImageSize PackedDataset::image_size() const {
  const Resolution& size = state_->manifest.resolutions[0];
  return {size.height, size.width};
}

ImagePart PackedDataset::image_part(int64_t row, const ImageRequest& request,
                                    std::vector<uint8_t>& scratch) const {
  const State& state = *state_;
  const Manifest& manifest = state.manifest;
  const Resolution& full = manifest.resolutions[0];
  const PixelBox& box = request.box;
  const auto scaled = [&](double vertical, double horizontal) {
    return RealBox{
        static_cast<double>(box.top) * vertical, static_cast<double>(box.left) * horizontal,
        static_cast<double>(box.height) * vertical, static_cast<double>(box.width) * horizontal};
  };
  if (manifest.encoding == Encoding::kJpeg) {
    const std::span<const uint8_t> bytes = state.payload(row, state.payload_of(variant_, 0));
    return with_context([&] { return state.describe(row); },
                        [&] {
                          const JpegPart part = decode_jpeg_part(
                              bytes, manifest.channels, full.height, full.width, box,
                              request.least_height, request.least_width, scratch);
                          const double scale = 1.0 / static_cast<double>(part.denominator);
                          ImagePart result{part.view, scaled(scale, scale)};
                          result.box.top -= static_cast<double>(part.top);
                          result.box.left -= static_cast<double>(part.left);
                          return result;
                        });
  }
  const size_t chosen = state.choose(request);
  const Resolution& size = manifest.resolutions[chosen];
  const std::span<const uint8_t> bytes = state.payload(row, state.payload_of(variant_, chosen));
  return {{bytes.data(), size.height, size.width, manifest.channels},
          scaled(static_cast<double>(size.height) / static_cast<double>(full.height),
                 static_cast<double>(size.width) / static_cast<double>(full.width))};
}

void PackedDataset::will_need(int64_t row, const ImageRequest& request) const {
  const State::Place at = state_->place(row);
  at.shard.will_need(
      at.shard.payload(state_->payload_of(variant_, state_->choose(request)), at.row));
}

}  // namespace baleen
