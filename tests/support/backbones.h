#pragma once

#include <set>
#include <string>
#include <vector>

#include "core/nn/registry.h"
#include "tests/support/thorough.h"

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

/// The networks that tests of all of them pass through: in CI those of a family that differ by
/// their depth alone are represented by one or two, thorough tests take all.
inline std::vector<BackboneInfo> tested_backbones() {
  static const std::set<std::string> deeper{"resnet34",    "resnet101",   "resnet152",
                                            "densenet161", "densenet169", "densenet201"};
  std::vector<BackboneInfo> tested;
  for (const BackboneInfo& info : all_backbones().list())
    if (thorough() || !deeper.contains(info.name)) tested.push_back(info);
  return tested;
}

}  // namespace baleen::testing
