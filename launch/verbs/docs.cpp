#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cstdio>

#include "core/config/reference.h"
#include "data/pack/options.h"
#include "experiments/recipe.h"
#include "launch/verbs/verbs.h"

namespace baleen {
namespace {

constexpr const char* kRecipeIntroduction =
    "Keys of a recipe, the YAML file that `baleen run` and `baleen plan` take. This page is made "
    "by `baleen docs "
    "configuration` from the lists that read the recipe, and a test compares the two.\n\nA file "
    "may begin from "
    "another: `_base_: other.yaml`, or a list of files, relative to it. Maps are merged key by "
    "key, lists and values are "
    "replaced; `_delete_: true` in a map drops what the base says there. `--set a.b=value` on the "
    "command line wins over "
    "all files.";
constexpr const char* kPackIntroduction =
    "Keys of a dataset description, the YAML file that `baleen pack` takes. Relative paths start "
    "from the folder of the "
    "file.";

std::string configuration_page() {
  std::string page = config::reference<Recipe>("Recipes", kRecipeIntroduction);
  page += "\n";
  page += config::reference<PackOptions>("Dataset descriptions", kPackIntroduction);
  return page;
}

}  // namespace

Verb make_docs_verb() {
  Verb verb;
  verb.name = "docs";
  verb.summary = "print a generated page of the documentation: configuration";
  verb.hidden = true;
  auto page = std::make_shared<std::string>();
  verb.declare_options = [page](CLI::App& app) {
    app.add_option("page", *page, "configuration")
        ->required()
        ->check(CLI::IsMember({"configuration"}));
  };
  verb.run = [](VerbContext&) {
    std::fputs(configuration_page().c_str(), stdout);
    return 0;
  };
  return verb;
}

}  // namespace baleen
