#pragma once

#include "core/nn/registry.h"

namespace baleen::testing {

/// Every network of Baleen's own, registered once per test program.
inline const BackboneRegistry& all_backbones() {
  static const BackboneRegistry registry = [] {
    BackboneRegistry all;
    register_backbones(all);
    return all;
  }();
  return registry;
}

}  // namespace baleen::testing
