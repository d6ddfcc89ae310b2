#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "experiments/recipe.h"

namespace CLI {
class App;
}

namespace baleen {

/// The arguments of every verb that takes a recipe: the file, `--set`, `--print-config`.
struct RecipeArguments {
  std::string file;
  std::vector<std::string> assignments;
  bool print_config = false;

  void declare(CLI::App& app);
  /// Checked against the networks there are. @throws Error kConfiguration listing every mistake.
  Recipe load() const;
};

/// The recipe as YAML with every key and its explanation.
std::string describe(const Recipe& recipe);

}  // namespace baleen
