#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

/// A thin layer over the HDF5 C API: handles that close themselves, errors that name file and
/// object.
///
/// Every dataset written here is contiguous (neither chunked nor filtered), so that its bytes can
/// also be read through a mapping of the file at Dataset::offset(). The same calls write the same
/// bytes: no dates are stored and the format version is fixed. HDF5 is not thread-safe as most
/// distributions build it: all calls of the process are serialised by one lock inside, and any
/// function here may be called from any thread. Never call it between fork() and exec().
namespace baleen::hdf5 {

/// Element types that this layer reads and writes. Strings are UTF-8, stored at a fixed length
/// padded with zeros.
enum class ElementType { kU8, kU32, kU64, kI32, kI64, kF32, kF64, kString, kOther };

/// "u8", "f32", "string", …
const char* name_of(ElementType type);

template <class T>
constexpr ElementType element_type_of() {
  using V = std::remove_cv_t<T>;
  if constexpr (std::is_same_v<V, std::uint8_t>) return ElementType::kU8;
  if constexpr (std::is_same_v<V, std::uint32_t>) return ElementType::kU32;
  if constexpr (std::is_same_v<V, std::uint64_t>) return ElementType::kU64;
  if constexpr (std::is_same_v<V, std::int32_t>) return ElementType::kI32;
  if constexpr (std::is_same_v<V, std::int64_t>) return ElementType::kI64;
  if constexpr (std::is_same_v<V, float>) return ElementType::kF32;
  if constexpr (std::is_same_v<V, double>) return ElementType::kF64;
  return ElementType::kOther;
}

using Shape = std::vector<std::int64_t>;

/// Number of elements of a shape; 1 for a scalar's empty shape.
/// @throws Error kData when a dimension is negative or the product does not fit.
std::int64_t element_count(const Shape& shape);

/// An open HDF5 identifier with its name for messages; shared so that children keep their file's
/// name alive.
struct Object;

/// One dataset of an open file. Closes itself; keeps nothing else open.
class Dataset {
 public:
  explicit Dataset(std::shared_ptr<Object> object);

  const Shape& shape() const { return shape_; }
  ElementType type() const { return type_; }
  /// Where the first byte lies in the file; nothing when the dataset is empty, chunked, compact or
  /// filtered, when its storage is not `element_count(shape) × element size` bytes, or when it
  /// reaches past the end of the file (as it may until a file being written is closed).
  std::optional<std::uint64_t> offset() const { return offset_; }
  /// Bytes that all elements take in the file when stored plainly.
  std::uint64_t num_bytes() const { return num_bytes_; }

  /// Reads all elements, row-major. @throws Error kData when the type is not exactly T or the bytes
  /// can't be read.
  template <class T>
  std::vector<T> read() const {
    std::vector<T> values(static_cast<std::size_t>(checked_count(element_type_of<T>())));
    read_rows(0, shape_.empty() ? 1 : shape_[0], element_type_of<T>(), values.data());
    return values;
  }
  /// Reads rows [first, first + count) along the first dimension into `out`, which has room for
  /// exactly those.
  template <class T>
  void read_rows(std::int64_t first, std::int64_t count, std::span<T> out) const {
    check_extent(count, out.size());
    read_rows(first, count, element_type_of<T>(), out.data());
  }
  /// Writes rows [first, first + count). @throws Error kStorage when the system refuses (disk
  /// full), with its reason.
  template <class T>
  void write_rows(std::int64_t first, std::int64_t count, std::span<const T> values) {
    check_extent(count, values.size());
    write_rows(first, count, element_type_of<T>(), values.data());
  }
  /// Reads a one-dimensional dataset of strings, of fixed or variable length.
  std::vector<std::string> read_strings() const;

 private:
  friend class Group;
  std::int64_t checked_count(ElementType wanted) const;
  void check_extent(std::int64_t count, std::size_t given) const;
  void read_rows(std::int64_t first, std::int64_t count, ElementType type, void* out) const;
  void write_rows(std::int64_t first, std::int64_t count, ElementType type, const void* values);

  std::shared_ptr<Object> object_;
  Shape shape_;
  ElementType type_ = ElementType::kOther;
  std::optional<std::uint64_t> offset_;
  std::uint64_t num_bytes_ = 0;
};

/// A group of an open file; the file itself is its root group.
class Group {
 public:
  explicit Group(std::shared_ptr<Object> object) : object_(std::move(object)) {}

  /// Names of the members, sorted.
  std::vector<std::string> members() const;
  bool contains(const std::string& name) const;

  Group create_group(const std::string& name);
  /// @throws Error kData when it is missing or no group.
  Group open_group(const std::string& name) const;

  /// A contiguous dataset whose space is taken at once; rows are then written in any order.
  Dataset create_dataset(const std::string& name, ElementType type, const Shape& shape);
  /// Creates a dataset and writes all of it.
  template <class T>
  Dataset write(const std::string& name, const Shape& shape, std::span<const T> values) {
    Dataset dataset = create_dataset(name, element_type_of<T>(), shape);
    dataset.write_rows(0, shape.empty() ? 1 : shape[0], values);
    return dataset;
  }
  Dataset write_strings(const std::string& name, std::span<const std::string> values);
  /// @throws Error kData when it is missing or no dataset.
  Dataset open_dataset(const std::string& name) const;

  /// Attributes: scalars of this group. Setting replaces; getting throws Error kData when absent or
  /// of another type.
  void set_attribute(const std::string& name, std::int64_t value);
  void set_attribute(const std::string& name, double value);
  void set_attribute(const std::string& name, const std::string& value);
  bool has_attribute(const std::string& name) const;
  std::int64_t int_attribute(const std::string& name) const;
  double double_attribute(const std::string& name) const;
  std::string string_attribute(const std::string& name) const;

  /// Full name for messages: file and path inside it.
  std::string description() const;

 protected:
  std::shared_ptr<Object> object_;
};

/// An open file.
class File : public Group {
 public:
  /// Creates (or empties) a file. @throws Error kStorage when the system refuses.
  static File create(const std::filesystem::path& path);
  /// Opens for reading. @throws Error kData when it is missing or not HDF5, kStorage when it may
  /// not be read.
  static File open(const std::filesystem::path& path);
  /// Opens an existing file for reading and writing.
  static File open_for_update(const std::filesystem::path& path);

  /// Writes everything out and closes; groups and datasets of the file must be gone or unused from
  /// here on. A writer must call it: the destructor closes too but can't report. Does not sync to
  /// disk. @throws Error kStorage.
  void close();

 private:
  using Group::Group;
};

}  // namespace baleen::hdf5
