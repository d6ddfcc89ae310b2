#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <CLI/Validators.hpp>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <map>

#include "core/base/atomic_file.h"
#include "core/config/reference.h"
#include "data/pack/options.h"
#include "experiments/environment.h"
#include "experiments/recipe.h"
#include "launch/reference/completion.h"
#include "launch/reference/man_pages.h"
#include "launch/verbs/verbs.h"
#include "launch/wiring.h"

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

struct DocsArguments {
  std::string page;
  std::string shell;
  std::string folder = ".";
};

std::string configuration_page() {
  std::string page = config::reference<Recipe>("Recipes", kRecipeIntroduction);
  page += "\n";
  page += config::reference<PackOptions>("Dataset descriptions", kPackIntroduction);
  return page;
}

/// Today, or the day that builds of packages set so that they can be repeated
/// (reproducible-builds.org).
std::string page_date() {
  std::time_t time = std::time(nullptr);
  if (const char* epoch = std::getenv("SOURCE_DATE_EPOCH")) time = std::atoll(epoch);
  std::tm utc{};
  gmtime_r(&time, &utc);
  char text[16];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%d", &utc)};
}

int write_manual(const std::string& folder) {
  std::error_code failed;
  std::filesystem::create_directories(folder, failed);
  if (failed)
    throw Error(ErrorKind::kStorage, "can't make the folder " + folder + ": " + failed.message());
  const auto commands = describe_command_line(make_verbs());
  for (const ManPage& page : man_pages(commands, baleen_version(), page_date()))
    write_file_atomically(std::filesystem::path(folder) / page.file, page.text);
  return 0;
}

std::string completion(const std::string& shell) {
  static const std::map<std::string, std::string (*)(std::span<const CommandDescription>)> kShells =
      {{"bash", bash_completion}, {"zsh", zsh_completion}, {"fish", fish_completion}};
  const auto found = kShells.find(shell);
  if (found == kShells.end())
    throw Error(ErrorKind::kUsage,
                shell.empty() ? "completion of which shell?" : "no completion for " + shell,
                "baleen docs completion bash, zsh or fish");
  return found->second(describe_command_line(make_verbs()));
}

int print(const DocsArguments& arguments) {
  if (arguments.page != "completion" && !arguments.shell.empty())
    throw Error(ErrorKind::kUsage, "unexpected argument '" + arguments.shell + "'",
                "only `baleen docs completion` takes one more");
  if (arguments.page == "man") return write_manual(arguments.folder);
  const std::string text =
      arguments.page == "completion" ? completion(arguments.shell) : configuration_page();
  std::fputs(text.c_str(), stdout);
  return 0;
}

}  // namespace

Verb make_docs_verb() {
  Verb verb;
  verb.name = "docs";
  verb.summary = "man pages, completion for shells, and the reference of all keys";
  verb.examples =
      "  baleen docs completion bash > ~/.local/share/bash-completion/completions/baleen\n"
      "  baleen docs completion zsh > ~/.zfunc/_baleen\n"
      "  baleen docs completion fish > ~/.config/fish/completions/baleen.fish\n"
      "  baleen docs man --out ~/.local/share/man/man1\n"
      "  baleen docs configuration > configuration.md\n"
      "`cmake --install` puts pages and scripts in their places.";
  verb.files = {{"DIR/baleen.1, DIR/baleen-VERB.1", "with man: a page for each verb"}};
  auto arguments = std::make_shared<DocsArguments>();
  verb.declare_options = [arguments](CLI::App& app) {
    app.add_option("page", arguments->page, "what to make; all but man is printed")
        ->required()
        ->check(CLI::IsMember({"configuration", "completion", "man"}).description(""))
        ->option_text("configuration|completion|man");
    app.add_option("shell", arguments->shell, "with completion: whose")
        ->option_text("bash|zsh|fish");
    app.add_option("--out", arguments->folder,
                   "with man: folder to write to; default: the current one")
        ->option_text("DIR");
  };
  verb.run = [arguments](VerbContext&) { return print(*arguments); };
  return verb;
}

}  // namespace baleen
