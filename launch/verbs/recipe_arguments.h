#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "experiments/extensions.h"
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
  /// Loads the recipe's plug-ins into `extensions` and checks the recipe against all that is there.
  /// @throws Error kConfiguration listing every mistake.
  Recipe load(Extensions& extensions) const;
};

/// The recipe as YAML with every key and its explanation.
std::string describe(const Recipe& recipe);

}  // namespace baleen
