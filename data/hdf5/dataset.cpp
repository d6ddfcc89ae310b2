#include <algorithm>
#include <cstring>
#include <system_error>

#include "core/base/error.h"
#include "data/hdf5/library.h"

namespace baleen::hdf5 {
namespace {

// A selection of rows [first, first + count) of the file's dataset and the matching shape in
// memory.
struct Selection {
  Handle file;
  Handle memory;
};

Selection select_rows(const Object& object, const Shape& shape, std::int64_t first,
                      std::int64_t count) {
  Selection selection;
  selection.file = Handle(H5Dget_space(object.handle.get()), H5Sclose);
  if (!selection.file) throw_read_error("reading the shape of " + object.description());
  if (shape.empty()) {
    selection.memory = Handle(H5Screate(H5S_SCALAR), H5Sclose);
    return selection;
  }
  std::vector<hsize_t> start(shape.size(), 0);
  std::vector<hsize_t> extent(shape.begin(), shape.end());
  start[0] = static_cast<hsize_t>(first);
  extent[0] = static_cast<hsize_t>(count);
  selection.memory =
      Handle(H5Screate_simple(static_cast<int>(extent.size()), extent.data(), nullptr), H5Sclose);
  if (!selection.memory || H5Sselect_hyperslab(selection.file.get(), H5S_SELECT_SET, start.data(),
                                               nullptr, extent.data(), nullptr) < 0)
    throw_read_error("selecting rows of " + object.description());
  return selection;
}

std::string trimmed(const char* text, std::size_t size) {
  return std::string(text, strnlen(text, size));
}

}  // namespace

Dataset::Dataset(std::shared_ptr<Object> object) : object_(std::move(object)) {
  Locked lock;
  const hid_t id = object_->handle.get();
  const Handle space(H5Dget_space(id), H5Sclose);
  const Handle type(H5Dget_type(id), H5Tclose);
  const Handle properties(H5Dget_create_plist(id), H5Pclose);
  if (!space || !type || !properties) throw_read_error("opening " + object_->description());
  const int rank = H5Sget_simple_extent_ndims(space.get());
  if (rank < 0) throw_read_error("reading the shape of " + object_->description());
  if (H5Sget_simple_extent_type(space.get()) == H5S_NULL)
    throw Error(ErrorKind::kData, object_->description() + " holds nothing, not even a shape");
  std::vector<hsize_t> extent(static_cast<std::size_t>(rank));
  if (rank > 0) H5Sget_simple_extent_dims(space.get(), extent.data(), nullptr);
  shape_.assign(extent.begin(), extent.end());
  type_ = classify(type.get());

  // Only plain storage may be mapped; a crafted header must not send a reader past the end of the
  // file.
  const bool plain = H5Pget_layout(properties.get()) == H5D_CONTIGUOUS &&
                     H5Pget_nfilters(properties.get()) == 0 &&
                     H5Pget_external_count(properties.get()) == 0;
  const std::int64_t count = element_count(shape_);
  std::int64_t bytes = 0;
  if (__builtin_mul_overflow(count, static_cast<std::int64_t>(H5Tget_size(type.get())), &bytes))
    throw Error(ErrorKind::kData, object_->description() + ": its shape is impossibly large");
  num_bytes_ = static_cast<std::uint64_t>(bytes);
  if (!plain || count == 0) return;
  const haddr_t address = H5Dget_offset(id);
  std::error_code ignored;
  const std::uint64_t file_size = std::filesystem::file_size(object_->file, ignored);
  const std::uint64_t size = num_bytes_;
  if (address != HADDR_UNDEF && H5Dget_storage_size(id) == size && size <= file_size &&
      address <= file_size - size)
    offset_ = address;
}

std::int64_t Dataset::checked_count(ElementType wanted) const {
  if (type_ != wanted)
    throw Error(ErrorKind::kData, object_->description() + " holds " + name_of(type_) +
                                      " elements where " + name_of(wanted) + " is expected");
  const std::int64_t count = element_count(shape_);
  // Data of ours is contiguous; anything else may claim a shape that no memory holds, so that it
  // may not be larger than the file, compressed data included.
  std::error_code ignored;
  if (!offset_ && count > 0 && num_bytes_ > std::filesystem::file_size(object_->file, ignored))
    throw Error(ErrorKind::kData,
                object_->description() + ": its shape does not agree with the file's size",
                "the file is cut short, damaged, compressed or foreign; make it again");
  return count;
}

void Dataset::check_extent(std::int64_t count, std::size_t given) const {
  std::int64_t wanted = count;
  for (std::size_t d = 1; d < shape_.size(); ++d) wanted *= shape_[d];
  if (count < 0 || wanted != static_cast<std::int64_t>(given))
    throw Error(ErrorKind::kInternal, object_->description() + ": " + std::to_string(given) +
                                          " elements given for " + std::to_string(count) +
                                          " rows of " + std::to_string(wanted) + " in all");
}

void Dataset::read_rows(std::int64_t first, std::int64_t count, ElementType type, void* out) const {
  checked_count(type);
  const std::int64_t rows = shape_.empty() ? 1 : shape_[0];
  if (first < 0 || count < 0 || first > rows - count)
    throw Error(ErrorKind::kInternal, object_->description() + ": rows " + std::to_string(first) +
                                          " to " + std::to_string(first + count) + " of " +
                                          std::to_string(rows) + " asked for");
  if (count == 0 || element_count(shape_) == 0) return;
  Locked lock;
  const Selection rows_selected = select_rows(*object_, shape_, first, count);
  if (H5Dread(object_->handle.get(), native_type(type), rows_selected.memory.get(),
              rows_selected.file.get(), H5P_DEFAULT, out) < 0)
    throw_read_error("reading " + object_->description());
}

void Dataset::write_rows(std::int64_t first, std::int64_t count, ElementType type,
                         const void* values) {
  if (type_ != type)
    throw Error(ErrorKind::kInternal,
                object_->description() + " holds " + name_of(type_) + ", not " + name_of(type));
  const std::int64_t rows = shape_.empty() ? 1 : shape_[0];
  if (first < 0 || count < 0 || first > rows - count)
    throw Error(ErrorKind::kInternal, object_->description() + ": rows beyond the end are written");
  if (count == 0 || element_count(shape_) == 0) return;
  Locked lock;
  const Selection rows_selected = select_rows(*object_, shape_, first, count);
  if (H5Dwrite(object_->handle.get(), native_type(type), rows_selected.memory.get(),
               rows_selected.file.get(), H5P_DEFAULT, values) < 0)
    throw_write_error("writing " + object_->description());
  // HDF5 holds the last bytes back until the dataset is closed, and then nobody hears that they
  // could not be written.
  if (first + count == rows && H5Dflush(object_->handle.get()) < 0)
    throw_write_error("writing " + object_->description());
}

std::vector<std::string> Dataset::read_strings() const {
  const std::int64_t count = checked_count(ElementType::kString);
  if (shape_.size() != 1)
    throw Error(ErrorKind::kData, object_->description() + " should be a list of strings");
  std::vector<std::string> strings;
  if (count == 0) return strings;
  Locked lock;
  const hid_t id = object_->handle.get();
  const Handle type(H5Dget_type(id), H5Tclose);
  const Handle space(H5Dget_space(id), H5Sclose);
  if (!type || !space) throw_read_error("reading " + object_->description());
  strings.reserve(static_cast<std::size_t>(count));
  if (H5Tis_variable_str(type.get()) > 0) {
    std::vector<char*> pointers(static_cast<std::size_t>(count), nullptr);
    if (H5Dread(id, type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, pointers.data()) < 0)
      throw_read_error("reading " + object_->description());
    for (const char* text : pointers) strings.emplace_back(text ? text : "");
    H5Dvlen_reclaim(type.get(), space.get(), H5P_DEFAULT, pointers.data());
    return strings;
  }
  if (!offset_ && H5Tget_size(type.get()) > 65536)
    throw Error(ErrorKind::kData, object_->description() + " holds impossibly long strings");
  const std::size_t width = H5Tget_size(type.get());
  std::vector<char> bytes(static_cast<std::size_t>(count) * width);
  if (H5Dread(id, type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data()) < 0)
    throw_read_error("reading " + object_->description());
  for (std::int64_t i = 0; i < count; ++i)
    strings.push_back(trimmed(bytes.data() + static_cast<std::size_t>(i) * width, width));
  return strings;
}

}  // namespace baleen::hdf5
