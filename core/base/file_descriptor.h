#pragma once

#include <unistd.h>

#include "core/base/unique_handle.h"

namespace baleen {

struct FileDescriptorTraits {
  using Value = int;
  static Value invalid() { return -1; }
  static void close(Value descriptor) noexcept { ::close(descriptor); }
};

/// An open POSIX file descriptor. Its destructor ignores errors of close(2): whoever needs the
/// bytes on disk syncs before.
using UniqueFileDescriptor = UniqueHandle<FileDescriptorTraits>;

}  // namespace baleen
