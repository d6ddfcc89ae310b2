#include "launch/verbs/recipe_arguments.h"

#include <CLI/App.hpp>

#include "core/config/encode.h"

namespace baleen {

void RecipeArguments::declare(CLI::App& app) {
  app.add_option("recipe", file, "YAML file; docs/configuration.md explains its keys")->required();
  app.add_option(
         "--set", assignments,
         "change one key, e.g. --set training.precision=bf16 or stages.0.epochs=2; may be repeated")
      ->option_text("KEY=VALUE")
      ->allow_extra_args(false);
  app.add_flag("--print-config", print_config, "print every key with its value, and stop");
}

Recipe RecipeArguments::load(Extensions& extensions) const {
  return load_recipe(file, assignments, extensions);
}

std::string describe(const Recipe& recipe) {
  return config::print_yaml(config::encode(recipe, true));
}

}  // namespace baleen
