#include <fmt/format.h>

#include <CLI/App.hpp>
#include <algorithm>
#include <cstdio>
#include <sstream>

#include "core/base/console.h"
#include "core/base/format.h"
#include "core/nn/multiply_adds.h"
#include "experiments/plugins.h"
#include "launch/verbs/verbs.h"

namespace baleen {
namespace {

constexpr int64_t kNumOutputs = 1000;  // figures are usually quoted for ImageNet's classes
constexpr int64_t kNumChannels = 3;
constexpr size_t kLeastColumns = 100;

/// Lines of at most `width` columns, broken at spaces.
std::vector<std::string> wrapped(const std::string& text, size_t width) {
  std::vector<std::string> lines(1);
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    if (!lines.back().empty() && lines.back().size() + 1 + word.size() > width)
      lines.emplace_back();
    if (!lines.back().empty()) lines.back() += ' ';
    lines.back() += word;
  }
  return lines;
}

void print_row(const std::string& name, const std::string& parameters, const std::string& gmac,
               const std::string& usual, const std::string& least, const std::string& text) {
  const std::string figures =
      fmt::format("{:<18} {:>10} {:>7} {:>5} {:>5}  ", name, parameters, gmac, usual, least);
  const size_t columns =
      std::max(kLeastColumns, static_cast<size_t>(standard_error().output().width()));
  std::string lead = figures;
  for (const std::string& line : wrapped(text, columns - figures.size())) {
    std::printf("%s%s\n", lead.c_str(), line.c_str());
    lead.assign(figures.size(), ' ');
  }
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
  print_row("name", "parameters", "GMAC", "at px", "least", "what it is");
  for (const BackboneInfo& info : registry.list()) {
    const auto network = registry.create(
        {.name = info.name, .num_outputs = kNumOutputs, .in_channels = kNumChannels});
    int64_t parameters = 0;
    for (const at::Tensor& parameter : network->parameters()) parameters += parameter.numel();
    const auto gmac =
        static_cast<double>(multiply_adds(*network, kNumChannels, info.usual_size_px)) / 1e9;
    print_row(info.name, format_count(parameters), fmt::format("{:.3f}", gmac),
              std::to_string(info.usual_size_px), std::to_string(info.min_size_px),
              info.description + "; " + info.source);
  }
  std::printf(
      "\n%s\n",
      fmt::format("Counted with {} outputs and {} channels. GMAC: 10^9 multiplications with "
                  "addition in convolutions\nand linear layers, for one image whose side is "
                  "\"at px\". \"least\": the smallest side in px.",
                  kNumOutputs, kNumChannels)
          .c_str());
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
