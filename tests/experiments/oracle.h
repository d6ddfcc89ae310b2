#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/temporary_directory.h"

namespace baleen::testing {

/// Runs tests/parity/<script> with the oracles' interpreter; the script writes JSON to the file it
/// is given. Empty when there is no such interpreter (the test then skips); a failing script fails
/// the test by an exception.
inline std::optional<nlohmann::json> ask_oracle(const std::string& script,
                                                const std::string& arguments = {}) {
  const char* python = std::getenv("BALEEN_PYTHON");
  const char* source = std::getenv("BALEEN_SOURCE");
  if (!python || !source) return std::nullopt;
  const TemporaryDirectory folder;
  const std::string answer = (folder / "answer.json").string();
  const std::string command = std::string(python) + " " + source + "/tests/parity/" + script + " " +
                              answer + " " + arguments;
  if (std::system(command.c_str()) != 0) throw std::runtime_error("oracle failed: " + command);
  return nlohmann::json::parse(std::ifstream(answer));
}

/// A matrix of JSON numbers as fp64 [R, C]; a list as [R].
inline at::Tensor tensor_of(const nlohmann::json& values) {
  if (!values.at(0).is_array()) return at::tensor(values.get<std::vector<double>>(), at::kDouble);
  std::vector<at::Tensor> rows;
  for (const auto& row : values) rows.push_back(tensor_of(row));
  return at::stack(rows);
}

inline double worst_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

}  // namespace baleen::testing
