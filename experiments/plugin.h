#pragma once

#include <torch/headeronly/version.h>

#include <cstddef>

#include "experiments/extensions.h"
#include "experiments/plugin_stamp.h"

// What a plug-in library includes. It is built against an installed Baleen:
//
//   void add(baleen::Extensions& extensions) { extensions.backbones.add(...); }
//   BALEEN_PLUGIN(add)
//
// and named in a recipe: `plugins: [build/libmine.so]`. The library brings no Baleen of its own: it
// uses the program's, so that both must come from the same version.

#define BALEEN_STRINGIFY_VALUE(x) #x
#define BALEEN_STRINGIFY(x) BALEEN_STRINGIFY_VALUE(x)

/// What program and plug-in must agree on, as text between marks, so that it can be found in the
/// library's file before any of its code runs. plugin_stamp.h, which the build writes, defines
/// BALEEN_VERSION_TEXT and BALEEN_HEADERS_DIGEST.
#define BALEEN_PLUGIN_STAMP                                                         \
  "<baleen-plugin-1>Baleen " BALEEN_VERSION_TEXT " (headers " BALEEN_HEADERS_DIGEST \
  "), LibTorch " TORCH_VERSION ", C++ ABI " BALEEN_STRINGIFY(                       \
      __GXX_ABI_VERSION) " with strings " BALEEN_STRINGIFY(_GLIBCXX_USE_CXX11_ABI) "<end>"

namespace baleen {

/// The one symbol that a plug-in exports, `baleen_plugin`.
struct PluginEntry {
  const char* stamp;
  void (*extend)(Extensions&);
};

}  // namespace baleen

/// Makes a library a plug-in: `function`, a void(baleen::Extensions&), is called once when the
/// library is loaded. What it throws ends the program with its message. A program that links the
/// same source may ignore it.
#define BALEEN_PLUGIN(function)                                                                \
  extern "C" __attribute__((visibility("default"))) const ::baleen::PluginEntry baleen_plugin; \
  const ::baleen::PluginEntry baleen_plugin = {BALEEN_PLUGIN_STAMP, &(function)};
