#include <fmt/format.h>

#include <CLI/App.hpp>
#include <cstdio>

#include "launch/verbs/verbs.h"
#include "launch/wiring.h"

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

int print_models() {
  const BackboneRegistry registry = make_backbone_registry();
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
  return 0;
}

}  // namespace

Verb make_models_verb() {
  Verb verb;
  verb.name = "models";
  verb.summary = "list the networks that a recipe can name";
  verb.declare_options = [](CLI::App&) {};
  verb.run = [](VerbContext&) { return print_models(); };
  return verb;
}

}  // namespace baleen
