#include <fmt/format.h>

#include <CLI/App.hpp>
#include <cstdio>

#include "experiments/plugins.h"
#include "launch/verbs/verbs.h"

namespace baleen {
namespace {

constexpr int64_t kNumOutputs = 1000;  // parameter counts are usually quoted for ImageNet's classes

int64_t num_parameters(const BackboneRegistry& registry, const std::string& name) {
  BackboneOptions options;
  options.name = name;
  options.num_outputs = kNumOutputs;
  int64_t count = 0;
  for (const at::Tensor& parameter : registry.create(options)->parameters())
    count += parameter.numel();
  return count;
}

/// What else can be named, e.g. "loss.kind: focal (gamma 2): down-weighs easy samples".
template <class Info>
void print_additions(const char* key, const std::vector<Info>& infos) {
  for (const Info& info : infos) {
    std::string parameters;
    for (const auto& [name, value] : info.parameters)
      parameters += fmt::format("{}{} {}", parameters.empty() ? " (" : ", ", name, value);
    if (!parameters.empty()) parameters += ")";
    std::printf("%s\n",
                fmt::format("{}: {}{}: {}", key, info.name, parameters, info.description).c_str());
  }
}

int print_models(const std::vector<std::string>& plugins, Extensions extensions) {
  for (const std::string& plugin : plugins) load_plugin(plugin, extensions);
  const BackboneRegistry& registry = extensions.backbones;
  std::printf("%s", fmt::format("{:<14} {:>12} {:>9} {:>9}  {}\n", "name", "parameters", "least px",
                                "usual px", "description")
                        .c_str());
  for (const BackboneInfo& info : registry.list()) {
    std::printf("%s", fmt::format("{:<14} {:>12} {:>9} {:>9}  {} ({})\n", info.name,
                                  num_parameters(registry, info.name), info.min_size_px,
                                  info.usual_size_px, info.description, info.source)
                          .c_str());
  }
  std::printf("Parameters are counted with %lld outputs and 3 channels.\n",
              static_cast<long long>(kNumOutputs));
  print_additions("loss.kind", extensions.losses.list());
  print_additions("augment.custom", extensions.augmentations.list());
  return 0;
}

}  // namespace

Verb make_models_verb() {
  Verb verb;
  verb.name = "models";
  verb.summary = "list the networks that a recipe can name";
  auto plugins = std::make_shared<std::vector<std::string>>();
  verb.declare_options = [plugins](CLI::App& app) {
    app.add_option("--plugin", *plugins,
                   "list what this plug-in library adds, too; may be repeated")
        ->option_text("FILE")
        ->allow_extra_args(false);
  };
  verb.run = [plugins](VerbContext& context) {
    return print_models(*plugins, *context.extensions);
  };
  return verb;
}

}  // namespace baleen
