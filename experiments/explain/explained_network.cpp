#include <ATen/ATen.h>
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/config/decode.h"
#include "core/config/document.h"
#include "core/weights/safetensors.h"
#include "core/weights/state.h"
#include "data/image/dehaze.h"
#include "data/pack/convert.h"
#include "experiments/explain/explain_job.h"
#include "experiments/weights_metadata.h"

namespace baleen {
namespace {

PackOptions dehazing_of(const WeightsMetadata& metadata, const std::filesystem::path& weights) {
  try {
    const auto json = nlohmann::json::parse(metadata.text("dehazing"));
    PackOptions options;
    options.fit = json.value("fit", options.fit);
    options.size_px = json.value("size_px", options.size_px);
    options.enlarge = json.value("enlarge", options.enlarge);
    options.shrink = json.value("shrink", options.shrink);
    options.dehaze = config::decode<DehazeOptions>(
        config::Document::parse(json.at("dehaze").dump(), weights.string()));
    return options;
  } catch (const nlohmann::json::exception& error) {
    throw Error(
        ErrorKind::kData,
        fmt::format("{}: 'dehazing' is no set of options: {}", weights.string(), error.what()),
        "restore the file from a backup, or write it again");
  }
}

}  // namespace

ExplainedNetwork load_explained(const std::filesystem::path& weights,
                                const BackboneRegistry& registry) {
  const SafetensorsFile file(weights);
  const WeightsMetadata metadata(file);
  ExplainedNetwork result;
  result.backbone = metadata.text("backbone");
  result.chain = metadata.contains("chain") ? metadata.text("chain") : "";
  result.labels = metadata.texts("labels");
  result.classes = metadata.text("targets").find("class") != std::string::npos;
  result.size_px = metadata.number("size_px");
  result.channels = metadata.number("in_channels");
  result.fit = metadata.text("fit");
  result.normalise = {metadata.numbers("mean"), metadata.numbers("std")};
  if (result.normalise.mean.size() == 1 && result.channels > 1) {
    result.normalise.mean.resize(static_cast<size_t>(result.channels), result.normalise.mean[0]);
    result.normalise.std.resize(static_cast<size_t>(result.channels), result.normalise.std[0]);
  }
  if (metadata.contains("variant")) result.variant = metadata.text("variant");
  if (metadata.contains("dehazing")) result.dehazing = dehazing_of(metadata, weights);
  BackboneOptions options;
  options.name = result.backbone;
  options.num_outputs = metadata.number("num_outputs");
  options.in_channels = result.channels;
  options.auxiliary = metadata.flag("auxiliary");
  options.head = metadata.text("head");
  options.coordinates = metadata.flag("coordinates");
  options.coordinate_radius = metadata.flag("coordinate_radius");
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

Image as_packed(const ExplainedNetwork& network, Image photograph) {
  if (network.dehazing) {
    const Image fitted = fit_image(*network.dehazing, photograph.view());
    return dehaze(fitted.view(), network.dehazing->dehaze);
  }
  if (network.variant.empty()) return photograph;
  throw Error(ErrorKind::kUsage,
              fmt::format("the network was trained on the images '{}' of its dataset, and its "
                          "weights do not say how to make such images of others",
                          network.variant),
              "explain images of its run, without --images; weights of newer runs say it");
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
