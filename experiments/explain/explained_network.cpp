#include <ATen/ATen.h>
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/weights/safetensors.h"
#include "core/weights/state.h"
#include "experiments/explain/explain_job.h"

namespace baleen {
namespace {

/// The metadata of a weights file, with errors that name it.
class Metadata {
 public:
  Metadata(const std::filesystem::path& file, std::map<std::string, std::string> values)
      : file_(file), values_(std::move(values)) {}
  std::string text(const std::string& key) const {
    const auto found = values_.find(key);
    if (found == values_.end()) {
      throw Error(ErrorKind::kData, fmt::format("{} does not say its '{}'", file_.string(), key),
                  "explain takes weights that `baleen run` or `baleen export` wrote");
    }
    return found->second;
  }
  bool flag(const std::string& key) const {
    return values_.contains(key) && values_.at(key) == "true";
  }
  int64_t number(const std::string& key) const { return parse<int64_t>(key); }
  template <class T>
  T parse(const std::string& key) const {
    const auto value = nlohmann::json::parse(text(key), nullptr, /*allow_exceptions=*/false);
    try {
      return value.get<T>();
    } catch (const nlohmann::json::exception&) {
      throw Error(ErrorKind::kData,
                  fmt::format("{}: '{}' cannot be read as '{}'", file_.string(), text(key), key));
    }
  }

 private:
  const std::filesystem::path& file_;
  std::map<std::string, std::string> values_;
};

}  // namespace

ExplainedNetwork load_explained(const std::filesystem::path& weights,
                                const BackboneRegistry& registry) {
  const SafetensorsFile file(weights);
  const Metadata metadata(weights, file.metadata());
  ExplainedNetwork result;
  result.backbone = metadata.text("backbone");
  result.chain = file.metadata().contains("chain") ? metadata.text("chain") : "";
  result.labels = metadata.parse<std::vector<std::string>>("labels");
  result.classes = metadata.text("targets").find("class") != std::string::npos;
  result.size_px = metadata.number("size_px");
  result.channels = metadata.number("in_channels");
  result.fit = metadata.text("fit");
  result.normalise = {metadata.parse<std::vector<double>>("mean"),
                      metadata.parse<std::vector<double>>("std")};
  if (result.normalise.mean.size() == 1 && result.channels > 1) {
    result.normalise.mean.resize(static_cast<size_t>(result.channels), result.normalise.mean[0]);
    result.normalise.std.resize(static_cast<size_t>(result.channels), result.normalise.std[0]);
  }
  BackboneOptions options;
  options.name = result.backbone;
  options.num_outputs = metadata.number("num_outputs");
  options.in_channels = result.channels;
  options.auxiliary = metadata.flag("auxiliary");
  options.head = metadata.text("head");
  options.coordinates = metadata.flag("coordinates");
  if (static_cast<int64_t>(result.labels.size()) != options.num_outputs) {
    throw Error(ErrorKind::kData,
                fmt::format("{}: {} outputs for {} labels", weights.string(), options.num_outputs,
                            result.labels.size()),
                "explain is for networks that recognise labels or classes");
  }
  result.network = registry.create(options);
  load_state(*result.network, file.tensors(), weights.string());
  result.network->eval();
  return result;
}

ExplainedImage prepare_image(const ExplainedNetwork& network, const std::string& name,
                             const ImageView& image) {
  ExplainedImage result;
  result.name = name;
  const Image sized = network.fit == "crop" ? resize_and_crop(image, network.size_px)
                                            : resize_image(image, network.size_px, network.size_px);
  const Image pixels = network.channels == 1 ? to_grey(sized.view()) : to_rgb(sized.view());
  if (pixels.channels != network.channels) {
    throw Error(ErrorKind::kData,
                fmt::format("{}: the network sees {} channels", name, network.channels));
  }
  const at::Tensor bytes = at::tensor(at::ArrayRef<uint8_t>(pixels.pixels), at::kByte)
                               .reshape({pixels.height, pixels.width, pixels.channels})
                               .permute({2, 0, 1})
                               .unsqueeze(0);
  const auto per_channel = [&](const std::vector<double>& values) {
    return at::tensor(values, at::kDouble).reshape({1, pixels.channels, 1, 1});
  };
  result.input_1CHW = ((bytes.to(at::kDouble) / 255 - per_channel(network.normalise.mean)) /
                       per_channel(network.normalise.std))
                          .to(at::kFloat)
                          .contiguous();
  result.shown = to_rgb(pixels.view());
  return result;
}

}  // namespace baleen
