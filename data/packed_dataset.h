#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace baleen {

/// Whether a sample has any number of labels, exactly one class, or none (a test set).
enum class TargetKind { kMultiLabel, kSingleClass, kNone };

/// An 8-bit image, rows top to bottom, interleaved channels (RGB order).
struct ImageView {
  const uint8_t* pixels = nullptr;  ///< height × width × channels bytes
  int64_t height = 0;
  int64_t width = 0;
  int64_t channels = 0;
};

struct ImageSize {
  int64_t height = 0;
  int64_t width = 0;
};

/// A box in an image, in pixels.
struct PixelBox {
  int64_t top = 0;
  int64_t left = 0;
  int64_t height = 0;
  int64_t width = 0;
};

/// A box in an image, in pixels; edges may lie within a pixel. Pixel i reaches from i to i + 1.
struct RealBox {
  double top = 0;
  double left = 0;
  double height = 0;
  double width = 0;
};

/// Which part of a stored image is needed, and at how many pixels.
struct ImageRequest {
  PixelBox box;              ///< in pixels of the image at its largest stored size
  int64_t least_height = 0;  ///< pixels that the box should have at least, where they are stored
  int64_t least_width = 0;
};

/// What was read for a request.
struct ImagePart {
  ImageView view;
  RealBox box;  ///< the box asked for, in the view's pixels
};

/// A packed dataset, opened for reading: the rows of all its shards as one table.
///
/// Raw pixels are read in place through a mapping of the shard files; JPEG rows are decoded into
/// the caller's buffer. A row's checksum is checked the first time it is read. Ids and labels are
/// read in place, too: an open dataset takes 8 bytes and a few bits of memory per sample. All const
/// members may be called from any thread at once. File format: data/README.md.
class PackedDataset {
 public:
  /// @param directory what `baleen pack` wrote: manifest.json and shard files
  /// @throws Error kData naming the file when the manifest or a shard is missing, malformed, or of
  /// a newer version.
  static std::shared_ptr<const PackedDataset> open(const std::filesystem::path& directory);
  ~PackedDataset();

  /// The same samples with other images: those of a variant that was packed beside them
  /// ("dehazed"). An empty name: the images as they are.
  /// @throws Error kConfiguration naming the variants there are.
  std::shared_ptr<const PackedDataset> variant(const std::string& name) const;
  const std::vector<std::string>& variants() const;  ///< names that variant() knows

  int64_t size() const;  ///< N rows
  TargetKind target_kind() const;
  const std::vector<std::string>& label_names() const;  ///< L labels or C classes, in column order
  int64_t channels() const;
  std::string id(int64_t row) const;                   ///< unique sample id
  int64_t row_of(const std::string& id) const;         ///< -1 when there is no such sample
  int64_t class_index(int64_t row) const;              ///< single-class data only
  std::span<const uint8_t> labels(int64_t row) const;  ///< L zeros and ones; multi-label data only
  std::string group(
      int64_t row) const;  ///< samples of one group stay in one fold; empty: a group of its own
  /// Id of the sample that the row is a flipped or rotated copy of; empty: an original. Copies are
  /// for training only.
  std::string copy_of(int64_t row) const;
  std::vector<int64_t> originals() const;  ///< rows that are no copies, ascending
  /// Height and width of every image at the largest size that is stored.
  std::pair<int64_t, int64_t> stored_size() const;
  /// Height and width of the image in pixels before it was packed.
  std::pair<int64_t, int64_t> original_size(int64_t row) const;
  /// Digest of the manifest: names this very content in plans and records.
  const std::string& digest() const;
  const std::string& pack_options() const;  ///< the options it was packed with, as JSON

  /// The image at the smallest stored size whose shorter side is at least `min_side_px` (else the
  /// largest stored). The view is valid while the dataset lives and `scratch` is not touched.
  /// @throws Error kData naming file, row and id when the stored checksum does not match or
  /// decoding fails.
  ImageView image(int64_t row, int64_t min_side_px, std::vector<uint8_t>& scratch) const;

  /// Height and width of every image at the largest stored size.
  ImageSize image_size() const;
  /// A part of an image, from the smallest stored size (or scale of the JPEG) at which it has the
  /// pixels asked for, else from the largest. Costs less than image() where the part is small.
  /// Errors and lifetime as image().
  ImagePart image_part(int64_t row, const ImageRequest& request,
                       std::vector<uint8_t>& scratch) const;
  /// Tells the system that image_part() will ask for this soon: it starts to read from disk.
  void will_need(int64_t row, const ImageRequest& request) const;

 private:
  PackedDataset();
  PackedDataset(const PackedDataset&) = default;
  struct State;
  std::shared_ptr<State> state_;  ///< shared by the variants
  size_t variant_ = 0;            ///< 0: the images as they are
};

}  // namespace baleen
