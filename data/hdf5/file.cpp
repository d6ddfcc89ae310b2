#include "data/hdf5/file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/base/error.h"
#include "data/hdf5/library.h"

namespace baleen::hdf5 {
namespace {

std::shared_ptr<Object> make_object(hid_t id, Handle::Close close, std::filesystem::path file,
                                    std::string path) {
  auto object = std::make_shared<Object>();
  object->handle = Handle(id, close);
  object->file = std::move(file);
  object->path = std::move(path);
  return object;
}

std::string child_path(const Object& parent, const std::string& name) {
  return (parent.path == "/" ? "/" : parent.path + "/") + name;
}

Handle file_access() {
  Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  // A fixed version of the format, whose metadata blocks carry checksums.
  H5Pset_libver_bounds(access.get(), H5F_LIBVER_V18, H5F_LIBVER_V18);
  // Large datasets start at a page, so that mapping and read-ahead fit them.
  H5Pset_alignment(access.get(), 65536, 4096);
  // Files get their final name only once complete, and parallel file systems often refuse locks.
  H5Pset_file_locking(access.get(), false, true);
  H5Pset_fclose_degree(access.get(), H5F_CLOSE_STRONG);
  return access;
}

Handle dataset_properties() {
  Handle properties(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  H5Pset_layout(properties.get(), H5D_CONTIGUOUS);
  H5Pset_alloc_time(properties.get(), H5D_ALLOC_TIME_EARLY);
  H5Pset_fill_time(properties.get(), H5D_FILL_TIME_NEVER);
  H5Pset_obj_track_times(properties.get(), false);
  return properties;
}

std::shared_ptr<Object> create_contiguous(const Object& parent, const std::string& name, hid_t type,
                                          const Shape& shape) {
  const std::string path = child_path(parent, name);
  std::vector<hsize_t> extent(shape.begin(), shape.end());
  const Handle space(
      extent.empty() ? H5Screate(H5S_SCALAR)
                     : H5Screate_simple(static_cast<int>(extent.size()), extent.data(), nullptr),
      H5Sclose);
  const Handle properties = dataset_properties();
  const hid_t id = space ? H5Dcreate2(parent.handle.get(), name.c_str(), type, space.get(),
                                      H5P_DEFAULT, properties.get(), H5P_DEFAULT)
                         : -1;
  if (id < 0) throw_write_error("creating " + parent.file.string() + ":" + path);
  return make_object(id, H5Dclose, parent.file, path);
}

Handle fixed_string_type(std::size_t width) {
  Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type.get(), std::max<std::size_t>(width, 1));
  H5Tset_strpad(type.get(), H5T_STR_NULLPAD);
  H5Tset_cset(type.get(), H5T_CSET_UTF8);
  return type;
}

void write_attribute(const Object& object, const std::string& name, hid_t file_type,
                     hid_t memory_type, const void* value) {
  const hid_t id = object.handle.get();
  if (H5Aexists(id, name.c_str()) > 0) H5Adelete(id, name.c_str());
  const Handle space(H5Screate(H5S_SCALAR), H5Sclose);
  const Handle attribute(
      H5Acreate2(id, name.c_str(), file_type, space.get(), H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  if (!attribute || H5Awrite(attribute.get(), memory_type, value) < 0)
    throw_write_error("writing attribute '" + name + "' of " + object.description());
}

struct OpenAttribute {
  Handle attribute;
  Handle type;
};

OpenAttribute open_attribute(const Object& object, const std::string& name) {
  OpenAttribute open;
  if (H5Aexists(object.handle.get(), name.c_str()) <= 0)
    throw Error(ErrorKind::kData, object.description() + " has no attribute '" + name + "'");
  open.attribute = Handle(H5Aopen(object.handle.get(), name.c_str(), H5P_DEFAULT), H5Aclose);
  if (open.attribute) open.type = Handle(H5Aget_type(open.attribute.get()), H5Tclose);
  if (!open.type) throw_read_error("reading attribute '" + name + "' of " + object.description());
  const Handle space(H5Aget_space(open.attribute.get()), H5Sclose);
  if (!space || H5Sget_simple_extent_npoints(space.get()) != 1)
    throw Error(ErrorKind::kData,
                "attribute '" + name + "' of " + object.description() + " is no scalar");
  return open;
}

template <class T>
T number_attribute(const Object& object, const std::string& name, H5T_class_t kind) {
  Locked lock;
  const OpenAttribute open = open_attribute(object, name);
  T value{};
  if (H5Tget_class(open.type.get()) != kind)
    throw Error(ErrorKind::kData,
                "attribute '" + name + "' of " + object.description() + " is of another type");
  if (H5Aread(open.attribute.get(), native_type(element_type_of<T>()), &value) < 0)
    throw_read_error("reading attribute '" + name + "' of " + object.description());
  return value;
}

herr_t append_name(hid_t, const char* name, const H5L_info_t*, void* names) {
  static_cast<std::vector<std::string>*>(names)->emplace_back(name);
  return 0;
}

}  // namespace

File File::create(const std::filesystem::path& path) {
  Locked lock;
  const Handle creation(H5Pcreate(H5P_FILE_CREATE), H5Pclose);
  H5Pset_obj_track_times(creation.get(), false);
  // Names of many members would go into a heap, in which HDF5 crashes over a flipped bit; within
  // the object's own header a checksum guards them.
  constexpr unsigned kMostInHeader = 1024;
  H5Pset_link_phase_change(creation.get(), kMostInHeader, kMostInHeader / 2);
  const Handle access = file_access();
  const hid_t id = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation.get(), access.get());
  if (id < 0) throw_write_error("creating " + path.string());
  return File(make_object(id, H5Fclose, path, "/"));
}

namespace {

std::shared_ptr<Object> open_file(const std::filesystem::path& path, unsigned mode) {
  Locked lock;
  const Handle access = file_access();
  const hid_t id = H5Fopen(path.c_str(), mode, access.get());
  if (id < 0) throw_read_error("opening " + path.string());
  return make_object(id, H5Fclose, path, "/");
}

}  // namespace

File File::open(const std::filesystem::path& path) { return File(open_file(path, H5F_ACC_RDONLY)); }

File File::open_for_update(const std::filesystem::path& path) {
  return File(open_file(path, H5F_ACC_RDWR));
}

void File::close() {
  Locked lock;
  if (!object_->handle) return;
  const hid_t id = object_->handle.get();
  unsigned intent = H5F_ACC_RDONLY;
  H5Fget_intent(id, &intent);
  if (intent != H5F_ACC_RDONLY && H5Fflush(id, H5F_SCOPE_GLOBAL) < 0)
    throw_write_error("writing " + object_->file.string());
  if (H5Fclose(object_->handle.release()) < 0)
    throw_write_error("closing " + object_->file.string());
}

std::string Group::description() const { return object_->description(); }

std::vector<std::string> Group::members() const {
  Locked lock;
  std::vector<std::string> names;
  if (H5Literate(object_->handle.get(), H5_INDEX_NAME, H5_ITER_INC, nullptr, append_name, &names) <
      0)
    throw_read_error("listing " + description());
  std::sort(names.begin(), names.end());
  return names;
}

bool Group::contains(const std::string& name) const {
  Locked lock;
  return H5Lexists(object_->handle.get(), name.c_str(), H5P_DEFAULT) > 0;
}

Group Group::create_group(const std::string& name) {
  Locked lock;
  const Handle properties(H5Pcreate(H5P_GROUP_CREATE), H5Pclose);
  H5Pset_obj_track_times(properties.get(), false);
  const hid_t id =
      H5Gcreate2(object_->handle.get(), name.c_str(), H5P_DEFAULT, properties.get(), H5P_DEFAULT);
  if (id < 0) throw_write_error("creating group '" + name + "' in " + description());
  return Group(make_object(id, H5Gclose, object_->file, child_path(*object_, name)));
}

Group Group::open_group(const std::string& name) const {
  Locked lock;
  if (!contains(name))
    throw Error(ErrorKind::kData, description() + " has no group '" + name + "'");
  const hid_t id = H5Gopen2(object_->handle.get(), name.c_str(), H5P_DEFAULT);
  if (id < 0) throw_read_error("opening group '" + name + "' of " + description());
  return Group(make_object(id, H5Gclose, object_->file, child_path(*object_, name)));
}

Dataset Group::create_dataset(const std::string& name, ElementType type, const Shape& shape) {
  Locked lock;
  element_count(shape);
  return Dataset(create_contiguous(*object_, name, native_type(type), shape));
}

Dataset Group::write_strings(const std::string& name, std::span<const std::string> values) {
  Locked lock;
  std::size_t width = 1;
  for (const std::string& value : values) {
    if (value.find('\0') != std::string::npos)
      throw Error(ErrorKind::kData,
                  "a string for '" + name + "' in " + description() + " contains a zero byte");
    width = std::max(width, value.size());
  }
  const Handle type = fixed_string_type(width);
  std::vector<char> bytes(values.size() * width, '\0');
  for (std::size_t i = 0; i < values.size(); ++i)
    std::memcpy(bytes.data() + i * width, values[i].data(), values[i].size());
  Dataset dataset(
      create_contiguous(*object_, name, type.get(), {static_cast<std::int64_t>(values.size())}));
  if (!values.empty() && (H5Dwrite(dataset.object_->handle.get(), type.get(), H5S_ALL, H5S_ALL,
                                   H5P_DEFAULT, bytes.data()) < 0 ||
                          H5Dflush(dataset.object_->handle.get()) < 0))
    throw_write_error("writing " + description() + "/" + name);
  return dataset;
}

Dataset Group::open_dataset(const std::string& name) const {
  Locked lock;
  if (!contains(name))
    throw Error(ErrorKind::kData, description() + " has no dataset '" + name + "'");
  // Links to other places, even in other files, are not ours: following them could lead anywhere.
  H5L_info_t link;
  if (H5Lget_info(object_->handle.get(), name.c_str(), &link, H5P_DEFAULT) < 0)
    throw_read_error("opening dataset '" + name + "' of " + description());
  if (link.type != H5L_TYPE_HARD)
    throw Error(ErrorKind::kData, description() + "/" + name + " is a link, not a dataset",
                "copy the data into the file itself");
  const hid_t id = H5Dopen2(object_->handle.get(), name.c_str(), H5P_DEFAULT);
  if (id < 0) throw_read_error("opening dataset '" + name + "' of " + description());
  return Dataset(make_object(id, H5Dclose, object_->file, child_path(*object_, name)));
}

void Group::set_attribute(const std::string& name, std::int64_t value) {
  Locked lock;
  write_attribute(*object_, name, H5T_STD_I64LE, H5T_NATIVE_INT64, &value);
}

void Group::set_attribute(const std::string& name, double value) {
  Locked lock;
  write_attribute(*object_, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, &value);
}

void Group::set_attribute(const std::string& name, const std::string& value) {
  Locked lock;
  const Handle type = fixed_string_type(value.size());
  const std::string padded = value.empty() ? std::string(1, '\0') : value;
  write_attribute(*object_, name, type.get(), type.get(), padded.data());
}

bool Group::has_attribute(const std::string& name) const {
  Locked lock;
  return H5Aexists(object_->handle.get(), name.c_str()) > 0;
}

std::int64_t Group::int_attribute(const std::string& name) const {
  return number_attribute<std::int64_t>(*object_, name, H5T_INTEGER);
}

double Group::double_attribute(const std::string& name) const {
  return number_attribute<double>(*object_, name, H5T_FLOAT);
}

std::string Group::string_attribute(const std::string& name) const {
  Locked lock;
  const OpenAttribute open = open_attribute(*object_, name);
  const std::string where = "attribute '" + name + "' of " + description();
  if (H5Tget_class(open.type.get()) != H5T_STRING)
    throw Error(ErrorKind::kData, where + " is of another type");
  if (H5Tis_variable_str(open.type.get()) > 0) {
    char* text = nullptr;
    if (H5Aread(open.attribute.get(), open.type.get(), &text) < 0)
      throw_read_error("reading " + where);
    std::string value = text ? text : "";
    H5free_memory(text);
    return value;
  }
  std::string value(H5Tget_size(open.type.get()), '\0');
  if (H5Aread(open.attribute.get(), open.type.get(), value.data()) < 0)
    throw_read_error("reading " + where);
  value.resize(strnlen(value.data(), value.size()));
  return value;
}

}  // namespace baleen::hdf5
